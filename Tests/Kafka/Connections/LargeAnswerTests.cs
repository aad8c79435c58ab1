using OrleansMq.Api;
using OrleansMq.Gateways.Connections;
using OrleansMq.Tests.Kafka.Schemas;
using OrleansMq.Tests.Shared;

namespace OrleansMq.Tests.Kafka.Connections;

/// <summary>Answers sent from where their records are: from memory, or from files, which the system sends if it can.</summary>
public sealed class LargeAnswerTests : IDisposable
{
    private const short Fetch = 1, ApiVersions = 18;
    private const int Batches = 350;
    private const int BatchBytes = 15_000;

    private static readonly TopicPartition _partition = new("orders", 0);

    private readonly string _directory = Directory.CreateTempSubdirectory("omq-answers-").FullName;

    public void Dispose() => Directory.Delete(_directory, recursive: true);

    [Theory]
    [InlineData(1 << 20, false)]
    [InlineData(3 << 20, false)] // More than is read of a file at once.
    [InlineData(1 << 20, true)]
    [InlineData(3 << 20, true)]
    public async Task Large_answers_hold_the_exact_bytes_of_the_log(int maxBytes, bool onDisk)
    {
        await using var server = await StartAsync(onDisk);
        using var client = await server.ConnectAsync();
        // Several at once, more than the system buffers until the client reads, with a small answer in between: they share their source.
        for (var number = 0; number < 12; number += 2)
        {
            await client.SendAsync(FetchFrom(10 * number, number, maxBytes));
            await client.SendAsync(Frames.Of(ApiVersions, 0, number + 1));
        }
        for (var number = 0; number < 12; number += 2)
        {
            var response = (await client.ReceiveAsync())!;
            using var read = await server.Broker.FetchAsync(new FetchRequest(_partition, 10 * number, maxBytes));
            Assert.InRange(read.Records.Length, maxBytes - 2 * BatchBytes, maxBytes);
            Assert.Contains($"Records: {read.Records.Length} bytes", MessageText.OfResponse(Schema.Response(Fetch), 12, response, number),
                StringComparison.Ordinal);
            Assert.True(response.AsSpan().IndexOf(read.Records.Span) > 0, "The sent bytes differ from the log.");
            Assert.Equal(number + 1, Frames.CorrelationId((await client.ReceiveAsync())!));
        }
        // If the system call failed, sending files would be switched off and everything copied, unnoticed.
        Assert.Equal(LinuxSockets.IsSupported, ResponseSender.SendsFiles);
    }

    [Theory]
    [InlineData(4, 256 << 10)]
    [InlineData(9, 256 << 10)]
    [InlineData(10, 3 << 20)]
    public async Task Answer_that_is_held_in_memory_until_it_is_received_is_small(short version, int most)
    {
        await using var server = await StartAsync(onDisk: true);
        using var client = await server.ConnectAsync();
        await client.SendAsync(Frames.Of(Fetch, version, 1, ("FetchOffset", 0L), ("MaxBytes", 3 << 20), ("PartitionMaxBytes", 3 << 20)));
        Assert.InRange((await client.ReceiveAsync())!.Length, most - (2 * BatchBytes), most + 200);
    }

    [Fact]
    public async Task Fields_and_records_after_a_file_piece_are_sent()
    {
        await using var server = await KafkaServer.StartAsync(); // In memory: what is no file is sent piece by piece.
        await server.Broker.CreateTopicAsync(new NewTopic("orders", 1));
        var large = TestBatches.OfSize(BatchBytes * 30);
        await server.Broker.ProduceAsync(_partition, large.ToArray(), Acks.All);
        using var client = await server.ConnectAsync();
        await client.SendAsync(FetchTwice(0));
        var fields = 4 + (await client.ReceiveAsync()).AsSpan()
            .IndexOf(large.AsSpan(61)) - 61; // Of the batch, 61 bytes are its header, which the broker stamped.
        Assert.InRange(fields, 4, 200);

        // A batch that is two bytes larger has a key and a value that are one byte larger.
        await server.Broker.ProduceAsync(_partition, large.ToArray(), Acks.All);
        var missing = PieceSizes.LargeBytes - fields - (2 * large.Length);
        await server.Broker.ProduceAsync(_partition, TestBatches.OfSize((BatchBytes * 30) + ((missing - large.Length) / 2)), Acks.All);
        using var read = await server.Broker.FetchAsync(new FetchRequest(_partition, 0, 3 << 20));
        Assert.InRange(fields + read.Records.Length, PieceSizes.LargeBytes - 1, PieceSizes.LargeBytes);

        await client.SendAsync(FetchTwice(1));
        var response = (await client.ReceiveAsync()).AsSpan();
        for (var time = 0; time < 2; time++)
        {
            var at = response.IndexOf(read.Records.Span);
            Assert.True(at > 0, "The records are missing, or missing in the second copy.");
            response = response[(at + read.Records.Length)..];
        }
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task Client_disconnecting_in_the_middle_is_no_fault(bool onDisk)
    {
        await using var server = await StartAsync(onDisk);
        using (var client = await server.ConnectAsync())
        {
            for (var number = 0; number < 10; number++)
                await client.SendAsync(FetchFrom(0, number, 4 << 20));
            Assert.NotNull(await client.ReceiveAsync());
        }
        await KafkaServer.WaitUntilAsync(() => server.Gateway.Metrics.Connections == 0);
        Assert.Empty(server.Log.Lines);
    }

    private static byte[] FetchFrom(long offset, int number, int maxBytes) =>
        Frames.Of(Fetch, 12, number, ("FetchOffset", offset), ("MaxBytes", 50 << 20), ("PartitionMaxBytes", maxBytes));

    private static byte[] FetchTwice(int number) =>
        Frames.Of(Fetch, 12, number, ("Partitions", 2), ("FetchOffset", 0L), ("MaxBytes", 50 << 20), ("PartitionMaxBytes", 3 << 20));

    private async Task<KafkaServer> StartAsync(bool onDisk)
    {
        var server = await KafkaServer.StartAsync(directory: onDisk ? _directory : null);
        await server.Broker.CreateTopicAsync(new NewTopic("orders", 2));
        for (var number = 0; number < Batches; number++)
            await server.Broker.ProduceAsync(_partition, TestBatches.Of(new string((char)('a' + number % 26), BatchBytes / 2)), Acks.All);
        return server;
    }
}
