using OrleansMq.Compression;
using OrleansMq.Records;
using OrleansMq.Tests.Kafka.Connections;
using OrleansMq.Tests.Kafka.Schemas;
using OrleansMq.Tests.Shared;

namespace OrleansMq.Tests.Kafka.Codec;

/// <summary>Compressed batches with headers that claim more records than there are bytes.</summary>
public sealed class ClaimedRecordsTests : IAsyncLifetime
{
    private const short Produce = 0;

    private GatewayHarness _harness = null!;

    public async Task InitializeAsync() => _harness = await GatewayHarness.StartAsync(codecs: StandardCodecs.All);

    public async Task DisposeAsync() => await _harness.DisposeAsync();

    [Theory]
    [InlineData(CompressionType.Gzip)]
    [InlineData(CompressionType.Snappy)]
    [InlineData(CompressionType.Lz4)]
    [InlineData(CompressionType.Zstd)]
    public async Task Batch_of_a_few_bytes_that_claims_millions_of_records_is_answered_with_invalid_record(CompressionType codec)
    {
        var frame = Frames.Of(Produce, 8, 1, ("Records", Batch(codec, 30_000_000)));
        // It is decompressed, so not by a thread that serves many connections.
        Assert.False(_harness.IsQuick(frame));
        var answer = MessageText.OfResponse(Schema.Response(Produce), 8, (await _harness.AnswerAsync(frame))!, 1);
        Assert.Contains($"ErrorCode: {(int)ErrorCode.InvalidRecord}\n", answer, StringComparison.Ordinal);
        Assert.Contains("Record count is 30000000; there are 2.", answer, StringComparison.Ordinal);
        Assert.DoesNotContain("BatchIndex", answer, StringComparison.Ordinal);
        Assert.True(_harness.IsQuick(Frames.Of(Produce, 8, 1, ("Records", Batch(codec, 2)))));
    }

    private static byte[] Batch(CompressionType codec, int claimed)
    {
        using var builder = new RecordBatchBuilder(codec, StandardCodecs.All);
        builder.Add(TestBatches.FirstTimestamp, "key"u8, true, "one"u8, true);
        builder.Add(TestBatches.FirstTimestamp, "key"u8, true, "two"u8, true);
        var batch = builder.Build().ToArray();
        (RecordBatchHeader.Read(batch) with { RecordCount = claimed, LastOffsetDelta = claimed - 1 }).WriteTo(batch);
        RecordBatches.Seal(batch);
        return batch;
    }
}
