using System.Buffers;
using OrleansMq.Compression;
using OrleansMq.Records;
using OrleansMq.Tests.Kafka.Connections;
using OrleansMq.Tests.Kafka.Schemas;
using OrleansMq.Tests.Shared;

namespace OrleansMq.Tests.Kafka.Codec;

/// <summary>A request for offsets by time takes bounded work, though each lookup may decompress a batch.</summary>
public sealed class OffsetLookupTests
{
    private const short ListOffsets = 2;
    private const int Entries = 1000;
    private const long Time = TestBatches.FirstTimestamp + 100_000;

    [Fact]
    public async Task Partition_that_is_named_more_than_once_is_not_looked_up()
    {
        var codec = new CountedCodec();
        await using var harness = await StartAsync(codec);
        var text = MessageText.OfResponse(Schema.Response(ListOffsets), 6, (await harness.AnswerAsync(Request(Entries)))!, 1);
        Assert.Equal(Entries, text.Split($"ErrorCode: {(int)ErrorCode.InvalidRequest}\n").Length - 1);
        Assert.Equal(0, codec.Decompressed);
        text = MessageText.OfResponse(Schema.Response(ListOffsets), 6, (await harness.AnswerAsync(Request(1)))!, 1);
        Assert.Contains($"Timestamp: {Time}\n      Offset: 2\n", text, StringComparison.Ordinal);
        Assert.Equal(1, codec.Decompressed);
    }

    [Fact]
    public async Task Lookups_of_a_closed_connection_end()
    {
        var codec = new CountedCodec();
        await using var harness = await StartAsync(codec);
        harness.Abort();
        await Assert.ThrowsAsync<OperationCanceledException>(() => harness.AnswerAsync(Request(Entries)));
        Assert.Equal(0, codec.Decompressed);
    }

    private static byte[] Request(int entries) =>
        Frames.Of(ListOffsets, 6, 1, ("Partitions", entries), ("PartitionIndex", 0), ("Timestamp", Time));

    private static async Task<GatewayHarness> StartAsync(CountedCodec codec)
    {
        var harness = await GatewayHarness.StartAsync(codecs: new CompressionCodecs([codec]));
        using var builder = new RecordBatchBuilder(CompressionType.Gzip, StandardCodecs.All);
        builder.Add(Time, [], false, [1], true);
        var produced = await harness.Broker.ProduceAsync(new TopicPartition("orders", 0), builder.Build().ToArray(), Acks.All);
        Assert.Equal(ErrorCode.None, produced.Error);
        codec.Decompressed = 0;
        return harness;
    }

    private sealed class CountedCodec : ICompressionCodec
    {
        public int Decompressed { get; set; }

        public CompressionType Type => CompressionType.Gzip;

        public void Compress(ReadOnlySpan<byte> source, IBufferWriter<byte> destination) => throw new NotSupportedException();

        public void Decompress(ReadOnlySpan<byte> source, IBufferWriter<byte> destination, int maxLength)
        {
            Decompressed++;
            StandardCodecs.All.Get(CompressionType.Gzip).Decompress(source, destination, maxLength);
        }
    }
}
