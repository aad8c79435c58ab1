using System.Diagnostics;
using System.Net;
using System.Net.Sockets;
using System.Text;
using OrleansMq.Client;
using OrleansMq.Compression;
using OrleansMq.Records;
using OrleansMq.Tests.Kafka.Connections;
using OrleansMq.Tests.Kafka.Schemas;
using OrleansMq.Tests.Process.Running;
using OrleansMq.Tests.Shared;
using Xunit.Abstractions;

namespace OrleansMq.Tests.Process.Hostile;

/// <summary>Hostile clients of many kinds at once, beside one that produces and consumes: all its requests succeed, and what the broker
/// takes is bounded.</summary>
public sealed class HostileBesideGoodTests(ITestOutputHelper output)
{
    private const short Produce = 0, Fetch = 1;
    private const int IdleConnections = 500;
    private const int MostMegabytes = 700;
    // A round of the good client, with a pause after it: a low rate.
    private const int Rounds = 100;
    // The broker opens what it needs before its handles are counted.
    private const int WarmUpRounds = 10;
    private static readonly TimeSpan Pause = TimeSpan.FromMilliseconds(30);

    private static readonly byte[] HundredMegabytes = [6, 0x40, 0, 0];

    [SkippableFact]
    public async Task Good_client_is_served_and_memory_and_handles_are_bounded()
    {
        Skip.IfNot(OperatingSystem.IsLinux(), "it reads /proc");
        using var directory = new TemporaryDirectory();
        await using var broker = await RunningBroker.UpAsync(directory["data"], 0, "--kafka", "127.0.0.1:0", "--verify-compressed", "true");
        using var http = new HttpClient { BaseAddress = new Uri(broker.Url), Timeout = RunningProgram.Patience };
        using (var body = new StringContent("""{"partitions":1}""", Encoding.UTF8, "application/json"))
        using (var created = await http.PutAsync("/api/topics/orders", body))
            Assert.Equal(HttpStatusCode.Created, created.StatusCode);
        var kafka = IPEndPoint.Parse(broker.Field("kafka"));
        using var good = new WireClient(await ConnectAsync(kafka));
        for (var number = 0; number < 20; number++)
            await AppendAsync(good, TestBatches.OfSize(200_000));
        await RoundsAsync(good, http, WarmUpRounds);

        using var stop = new CancellationTokenSource();
        using var hostile = new Hostiles(kafka, IPEndPoint.Parse(new Uri(broker.Url).Authority));
        var handles = HandlesOf(broker.Program.Id);
        await hostile.ConnectAsync();
        // The system accepts a connection before the broker does, and the broker closes some of them in time.
        using (var patience = new CancellationTokenSource(RunningProgram.Patience))
        {
            while (HandlesOf(broker.Program.Id) - handles < hostile.Connections / 2)
                await Task.Delay(20, patience.Token);
        }
        var busy = hostile.RunAsync(stop.Token);
        var beside = await RoundsAsync(good, http, Rounds);
        var (megabytes, opened) = (MegabytesOf(broker.Program.Id), HandlesOf(broker.Program.Id) - handles);
        await stop.CancelAsync();
        var attempts = await busy;

        // No bound on the latency: the benchmark "hostile" measures it.
        output.WriteLine($"p99 {Percentile99(beside).TotalMilliseconds:0} ms; {megabytes} MB, {opened} handles for {hostile.Connections} "
            + $"connections, {attempts} hostile requests");
        Assert.True(attempts > 0, "No hostile request was sent.");
        Assert.True(opened <= hostile.Connections + 200, $"{opened} handles for {hostile.Connections} connections.");
        Assert.InRange(megabytes, 1, MostMegabytes);
    }

    /// <summary>Produces and consumes over both protocols. Every request must succeed.</summary>
    private static async Task<List<TimeSpan>> RoundsAsync(WireClient kafka, HttpClient http, int rounds)
    {
        var took = new List<TimeSpan>();
        for (var round = 0; round < rounds; round++)
        {
            var began = Stopwatch.GetTimestamp();
            var value = $"round {round}";
            var offset = await AppendAsync(kafka, TestBatches.Of(value));
            var fetched = await AskAsync(kafka, Fetch, 12, ("FetchOffset", offset));
            // -1 where the partition was not read.
            Assert.Contains($"HighWatermark: {offset + 1}\n", fetched, StringComparison.Ordinal);
            using var lines = new StringContent($$"""{"value":"{{value}}"}""", Encoding.UTF8, "application/x-ndjson");
            using (var produced = await http.PostAsync("/api/topics/orders/records", lines))
                Assert.Contains($"\"offset\":{offset + 1}", await produced.Content.ReadAsStringAsync(), StringComparison.Ordinal);
            Assert.Contains(value, await http.GetStringAsync($"/api/topics/orders/partitions/0/records?offset={offset + 1}&max=1"),
                StringComparison.Ordinal);
            took.Add(Stopwatch.GetElapsedTime(began));
            await Task.Delay(Pause);
        }
        return took;
    }

    private static async Task<long> AppendAsync(WireClient client, byte[] batch)
    {
        var answer = await AskAsync(client, Produce, 9, ("Records", batch));
        Assert.Contains("ErrorCode: 0\n", answer, StringComparison.Ordinal);
        const string name = "BaseOffset: ";
        var start = answer.IndexOf(name, StringComparison.Ordinal) + name.Length;
        return long.Parse(answer[start..answer.IndexOf('\n', start)], System.Globalization.CultureInfo.InvariantCulture);
    }

    private static async Task<string> AskAsync(WireClient client, short key, short version, params (string, object?)[] fields)
    {
        await client.SendAsync(Frames.Of(key, version, 1, fields));
        var answer = await client.ReceiveAsync();
        Assert.NotNull(answer);
        return MessageText.OfResponse(Schema.Response(key), version, answer, 1);
    }

    private static async Task<TcpClient> ConnectAsync(IPEndPoint address)
    {
        var client = new TcpClient();
        await client.ConnectAsync(address);
        return client;
    }

    private static TimeSpan Percentile99(List<TimeSpan> times) => times.Order().ElementAt((times.Count - 1) * 99 / 100);

    private static int HandlesOf(int process) => Directory.GetFiles($"/proc/{process}/fd").Length;

    private static long MegabytesOf(int process) => long.Parse(File.ReadLines($"/proc/{process}/status")
        .Single(static line => line.StartsWith("VmHWM:", StringComparison.Ordinal)).Split(' ', StringSplitOptions.RemoveEmptyEntries)[1],
        System.Globalization.CultureInfo.InvariantCulture) / 1024;

    /// <summary>Connections that are silent, announce what they do not send, or do not receive; and clients that keep the broker
    /// busy.</summary>
    private sealed class Hostiles(IPEndPoint kafka, IPEndPoint http) : IDisposable
    {
        private readonly List<TcpClient> _open = [];
        private readonly byte[] _bomb = Bomb();

        public int Connections => _open.Count;

        public async Task ConnectAsync()
        {
            for (var number = 0; number < IdleConnections; number++)
            {
                await OpenAsync(kafka, []);
                await OpenAsync(http, []);
            }
            var half = Prefixed(Frames.Of(Produce, 9, 1, ("Records", TestBatches.OfSize(100_000))));
            for (var number = 0; number < 50; number++)
            {
                await OpenAsync(kafka, HundredMegabytes);
                await OpenAsync(kafka, half[..(half.Length / 2)]);
                await OpenAsync(http, Encoding.ASCII.GetBytes("POST /api/topics/orders/partitions/0/batches HTTP/1.1\r\n"
                    + $"Host: localhost\r\nContent-Type: {HttpContract.RecordBatchMediaType}\r\nContent-Length: {100 << 20}\r\n\r\nabc"));
            }
            // Answers that are never received.
            var fetch = Prefixed(Frames.Of(Fetch, 12, 1, ("FetchOffset", 0L), ("MaxBytes", 50 << 20), ("PartitionMaxBytes", 8 << 20)));
            var read = Encoding.ASCII.GetBytes(
                "GET /api/topics/orders/partitions/0/records?max=1000000 HTTP/1.1\r\nHost: localhost\r\n\r\n");
            for (var number = 0; number < 20; number++)
            {
                await OpenAsync(kafka, [.. Enumerable.Repeat(fetch, 12).SelectMany(static bytes => bytes)]);
                await OpenAsync(http, read);
            }
        }

        /// <summary>Sends bombs, and frames that are broken off; returns how many.</summary>
        public async Task<int> RunAsync(CancellationToken stop)
        {
            var counts = await Task.WhenAll(Task.Run(() => SendBombsAsync(stop), CancellationToken.None),
                Task.Run(() => BreakOffAsync(stop), CancellationToken.None));
            return counts.Sum();
        }

        public void Dispose() => _open.ForEach(static client => client.Dispose());

        private async Task OpenAsync(IPEndPoint address, byte[] first)
        {
            _open.Add(await HostileBesideGoodTests.ConnectAsync(address));
            await _open[^1].GetStream().WriteAsync(first);
        }

        // Refused ones: each has bytes after its last record, so that none reaches the log.
        private async Task<int> SendBombsAsync(CancellationToken stop)
        {
            using var client = new WireClient(await HostileBesideGoodTests.ConnectAsync(kafka));
            var count = 0;
            for (; !stop.IsCancellationRequested; count++)
                Assert.DoesNotContain("ErrorCode: 0\n", await AskAsync(client, Produce, 9, ("Records", _bomb)), StringComparison.Ordinal);
            return count;
        }

        private async Task<int> BreakOffAsync(CancellationToken stop)
        {
            var frame = Prefixed(Frames.Of(Produce, 9, 1, ("Records", TestBatches.OfSize(50_000))));
            var count = 0;
            for (; !stop.IsCancellationRequested; count++)
            {
                using var client = new WireClient(await HostileBesideGoodTests.ConnectAsync(kafka));
                await client.SendRawAsync(frame[..(1 + (count * 997 % (frame.Length - 1)))]);
                client.BreakOff();
                await Task.Delay(5, CancellationToken.None);
            }
            return count;
        }

        private static byte[] Bomb()
        {
            using var builder = new RecordBatchBuilder(CompressionType.Zstd, StandardCodecs.All);
            builder.Add(TestBatches.FirstTimestamp, [], false, new byte[100 << 20], true);
            builder.Add(TestBatches.FirstTimestamp, [], false, [], true);
            var batch = builder.Build().ToArray();
            // It has one record more than its header says.
            (RecordBatchHeader.Read(batch) with { RecordCount = 1, LastOffsetDelta = 0 }).WriteTo(batch);
            System.Buffers.Binary.BinaryPrimitives.WriteUInt32BigEndian(batch.AsSpan(17), Crc32C.Compute(batch.AsSpan(21)));
            return batch;
        }

        private static byte[] Prefixed(byte[] frame) =>
            [(byte)(frame.Length >> 24), (byte)(frame.Length >> 16), (byte)(frame.Length >> 8), (byte)frame.Length, .. frame];
    }
}
