using System.Net;
using System.Net.Sockets;
using System.Text;
using OrleansMq.Cli.Benchmark;
using OrleansMq.Records;
using OrleansMq.Tests.Benchmarks;
using OrleansMq.Tests.Benchmarks.Peers.Brokers;
using OrleansMq.Tests.Benchmarks.Peers.Load;
using OrleansMq.Tests.Benchmarks.Peers.Redis;
using OrleansMq.Tests.Benchmarks.Peers.Results;
using OrleansMq.Tests.Kafka.Connections;

namespace OrleansMq.Tests.Kafka.Load;

/// <summary>The load generators for brokers without Kafka's protocol, and their output.</summary>
public sealed class OtherLoadTests
{
    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    [InlineData(16)]
    [InlineData(20)]
    [InlineData(64)]
    public void Batch_holds_the_requested_number_of_records(int records)
    {
        var batch = ProduceTemplate.Batch(1000, ProduceTemplate.BatchBytesOf(records, 1000), CompressionType.None, 0, out var held);
        Assert.Equal(records, held);
        Assert.Equal(records, RecordBatchHeader.Read(batch).RecordCount);
    }

    [Fact]
    public void Free_memory_excludes_caches() =>
        Assert.Equal(6_898L << 20,
            1024 * ProcessFigures.Field(["MemTotal:       24684388 kB", "MemFree:         7063552 kB", "MemAvailable:   24141204 kB"],
                "MemFree"));

    [Theory]
    [InlineData("x")]
    [InlineData("-1")]
    [InlineData("1.5")]
    [InlineData("2147483648")]
    public void Invalid_number_is_reported_with_its_option(string text)
    {
        var wrong = Assert.Throws<FormatException>(() => new CommandArguments(["--mb", text]).Number("--mb", 512));
        Assert.Equal($"--mb is '{text}'; it may be a whole number from 0 to 2147483647.", wrong.Message);
    }

    [Theory]
    [InlineData("0")]
    [InlineData("4001")]
    [InlineData("x")]
    public void Number_out_of_range_is_reported_with_its_option_and_the_range(string text)
    {
        var wrong = Assert.Throws<FormatException>(() => new CommandArguments(["--size", text]).Number("--size", 1000, 1, 4000));
        Assert.Equal($"--size is '{text}'; it may be a whole number from 1 to 4000.", wrong.Message);
    }

    [Theory]
    [InlineData("1", 1)]
    [InlineData("4000", 4000)]
    public void Ends_of_the_range_of_a_number_are_in_it(string text, int expected) =>
        Assert.Equal(expected, new CommandArguments(["--size", text]).Number("--size", 1000, 1, 4000));

    [Fact]
    public void PerfTest_output_is_read_without_its_first_seconds()
    {
        var output = """
            id: t, starting producer #0
            id: t, time 1.000 s, sent: 10 msg/s, confirmed: 10 msg/s, nacked: 0 msg/s, {latency}
            id: t, time 2.000 s, sent: 20 msg/s, confirmed: 20 msg/s, nacked: 0 msg/s, {latency}
            id: t, time 3.000 s, sent: 30 msg/s, confirmed: 30 msg/s, nacked: 0 msg/s, {latency}
            id: t, time 5.000 s, sent: 100 msg/s, confirmed: 100 msg/s, nacked: 0 msg/s, {latency}
            id: t, time 6.000 s, sent: 400 msg/s, confirmed: 400 msg/s, nacked: 0 msg/s, {latency}
            test stopped (Reached time limit)
            id: t, sending rate avg: 100 msg/s
            id: t, confirm latency min/median/75th/95th/99th 4783/37359/48806/85624/171036 µs
            """.Replace("{latency}", "min/median/75th/95th/99th confirm latency: 1/2/3/4/5 µs", StringComparison.Ordinal);
        Assert.Equal(((200 + 400) / 3.0, 10 + 20 + 30 + 200 + 400, 37.359, 171.036), PerfTestOutput.Read(output));
    }

    [Fact]
    public void PerfTest_run_of_only_the_first_seconds_is_no_result() => Assert.Throws<PeerFailedException>(() =>
        PerfTestOutput.Read("id: t, time 1.000 s, sent: 10 msg/s, confirmed: 10 msg/s, nacked: 0\nid: t, confirm latency "
        + "min/median/75th/95th/99th 1/2/3/4/5 µs"));

    [Theory]
    [InlineData("load", "peer2@localhost", 3)]
    [InlineData("without", null, 2)]
    [InlineData("classic", null, 0)]
    [InlineData("other", null, 0)]
    public void RabbitMQ_queue_list_names_the_leader_and_counts_the_replicas(string queue, string? leader, int replicas) =>
        Assert.Equal((leader, replicas), RabbitMqQueueList.Find("""
            [
            {"leader":"","name":"classic","online":""}
            ,{"leader":"peer2@localhost","name":"load","online":["peer3@localhost","peer1@localhost","peer2@localhost"]}
            ,{"leader":"","name":"without","online":["peer3@localhost","peer1@localhost"]}
            ]
            """, queue));

    [Fact]
    public void Loader_output_before_its_figures_is_skipped()
    {
        var figures =
            LoaderOutput.Read(
                "09:00 |-INFO logback\n\n{\"records\":320,\"failedCalls\":0,\"recordsPerSecond\":28926,\"mbPerSecond\":28.93,"
                + "\"p50Ms\":7.165,\"p99Ms\":161.185,\"p999Ms\":281.789}\n",
                out var records);
        Assert.Equal((320, 28926, 161.185), (records, figures[Figure.RecordsPerSecond], figures[Figure.P99]));
    }

    [Theory]
    [InlineData("no route info of this topic")]
    [InlineData("{\"records\":16,\"failedCalls\":1,\"recordsPerSecond\":1,\"mbPerSecond\":1,\"p50Ms\":1,\"p99Ms\":1,\"p999Ms\":1}")]
    public void Failed_loader_is_no_result(string output) =>
        Assert.Throws<PeerFailedException>(() => LoaderOutput.Read(output, out _));

    [Theory]
    [InlineData(1, 7)]
    [InlineData(16, 100)]
    public async Task Redis_gets_each_command_once_within_the_window(int window, int commands)
    {
        using var server = Listen(out var endpoint);
        var served = ServeAsync(server, window, "$15\r\n1700000000000-0\r\n"u8.ToArray());
        var latencies = new LatencyHistogram();
        using (var connection = new RedisConnection(endpoint, "s", "value"u8.ToArray(), window))
            await Task.Run(() => WindowedLoad.Serve(connection, new Pace(commands, 0), latencies)).WaitAsync(KafkaServer.Patience);
        Assert.Equal(commands, await served);
        Assert.Equal(commands, latencies.Count);
    }

    [Fact]
    public async Task Redis_error_ends_the_load()
    {
        using var server = Listen(out var endpoint);
        var served = ServeAsync(server, 4, "-OOM command not allowed\r\n"u8.ToArray());
        using (var connection = new RedisConnection(endpoint, "s", "value"u8.ToArray(), 4))
        {
            var failed = await Assert.ThrowsAsync<LoadFailedException>(() =>
                Task.Run(() => WindowedLoad.Serve(connection, new Pace(10, 0), new LatencyHistogram())).WaitAsync(KafkaServer.Patience));
            Assert.Contains("OOM command not allowed", failed.Message, StringComparison.Ordinal);
        }
        await served;
    }

    private static TcpListener Listen(out string endpoint)
    {
        var server = new TcpListener(IPAddress.Loopback, 0);
        server.Start();
        endpoint = server.LocalEndpoint.ToString()!;
        return server;
    }

    /// <summary>Answers each command in pieces. Returns the number of commands when the client disconnects.</summary>
    private static async Task<int> ServeAsync(TcpListener server, int window, byte[] answer)
    {
        const string Command = "*5\r\n$4\r\nXADD\r\n$1\r\ns\r\n$1\r\n*\r\n$1\r\nv\r\n$5\r\nvalue\r\n";
        using var client = await server.AcceptTcpClientAsync();
        client.NoDelay = true;
        var stream = client.GetStream();
        var (received, answered) = (new StringBuilder(), 0);
        var buffer = new byte[64 << 10];
        try
        {
            for (int count; (count = await stream.ReadAsync(buffer)) > 0;)
            {
                received.Append(Encoding.ASCII.GetString(buffer, 0, count));
                Assert.InRange(received.Length, 0, window * Command.Length);
                for (; received.Length >= Command.Length; received.Remove(0, Command.Length), answered++)
                {
                    Assert.Equal(Command, received.ToString(0, Command.Length));
                    await stream.WriteAsync(answer.AsMemory(0, 3));
                    await stream.WriteAsync(answer.AsMemory(3));
                }
            }
        }
        catch (IOException)
        {
            // The client disconnected with an answer unread.
        }
        return answered;
    }
}
