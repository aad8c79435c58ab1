using System.Text;
using OrleansMq.Api;
using OrleansMq.Brokers;
using OrleansMq.Compression;
using OrleansMq.Gateways.Amqp.Streams;
using OrleansMq.Records;
using OrleansMq.Tests.Amqp.Sockets;
using StreamReader = OrleansMq.Gateways.Amqp.Streams.StreamReader;

namespace OrleansMq.Tests.Amqp.Queues;

/// <summary>Readers of a stream over batches that cannot be read.</summary>
public sealed class StreamReaderTests : IAsyncLifetime
{
    private static readonly TopicPartition Partition = new("s", 0);

    private readonly string _directory = Directory.CreateTempSubdirectory("omq-stream").FullName;
    private LocalBroker _broker = null!;

    public async Task InitializeAsync()
    {
        _broker = await LocalBroker.OpenAsync(new BrokerOptions { DataDirectory = _directory, Codecs = StandardCodecs.All });
        await _broker.CreateTopicAsync(new NewTopic(Partition.Topic, 1));
    }

    public async Task DisposeAsync()
    {
        await _broker.DisposeAsync();
        Directory.Delete(_directory, recursive: true);
    }

    [Fact]
    public async Task Batches_that_cannot_be_read_are_passed_over_with_one_line_a_minute()
    {
        for (var i = 0; i < 3; i++)
        {
            var batch = Batch(CompressionType.Gzip, "garbage");
            batch.AsSpan(RecordBatchHeader.Size).Fill(7);
            RecordBatches.Seal(batch);
            Assert.Equal(ErrorCode.None, (await _broker.ProduceAsync(Partition, batch, Acks.All)).Error);
        }
        Assert.Equal(ErrorCode.None, (await _broker.ProduceAsync(Partition, Batch(CompressionType.None, "good"), Acks.All)).Error);
        var log = new RecordedLog();
        await using var reader = new StreamReader(new StreamSource(_broker, Partition, "s", StandardCodecs.All, TimeProvider.System, log),
            filter: null);
        await reader.StartAsync(new StreamStart(StreamStartKind.First));
        var received = new List<string>();
        while (received.Count == 0)
        {
            var some = await reader.ReceiveAsync(10, TimeSpan.FromSeconds(30), CancellationToken.None);
            Assert.NotEmpty(some);
            foreach (var held in some)
                received.Add(Encoding.UTF8.GetString(held.Message.Body.Span));
        }
        Assert.Equal(["good"], received);
        Assert.Contains("passes over the offsets 0 to 0", Assert.Single(log.Lines), StringComparison.Ordinal);
    }

    [Fact]
    public async Task Batch_whose_codec_this_broker_lacks_is_waited_for()
    {
        foreach (var (codec, value) in ((CompressionType, string)[])[(CompressionType.None, "first"),
            (CompressionType.Gzip, "second"), (CompressionType.None, "third")])
        {
            Assert.Equal(ErrorCode.None, (await _broker.ProduceAsync(Partition, Batch(codec, value), Acks.All)).Error);
        }
        var log = new RecordedLog();
        await using var reader = new StreamReader(new StreamSource(_broker, Partition, "s", CompressionCodecs.Empty, TimeProvider.System,
            log), filter: null);
        await reader.StartAsync(new StreamStart(StreamStartKind.First));
        var received = new List<string>();
        for (var call = 0; call < 3; call++)
        {
            foreach (var held in await reader.ReceiveAsync(10, TimeSpan.FromMilliseconds(50), CancellationToken.None))
                received.Add(Encoding.UTF8.GetString(held.Message.Body.Span));
        }
        Assert.Equal(["first"], received);
        Assert.Contains("waits at offset 1", Assert.Single(log.Lines), StringComparison.Ordinal);
    }

    private static byte[] Batch(CompressionType codec, string value)
    {
        using var builder = new RecordBatchBuilder(codec, StandardCodecs.All);
        builder.Add(1_000, default, false, Encoding.UTF8.GetBytes(value), true);
        return builder.Build().ToArray();
    }
}
