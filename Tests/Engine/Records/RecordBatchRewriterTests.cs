using OrleansMq.Compression;
using OrleansMq.Records;

namespace OrleansMq.Tests.Engine.Records;

public class RecordBatchRewriterTests
{
    private static readonly SampleRecord[] Three = [.. Enumerable.Range(0, 3).Select(i => new SampleRecord(100 + i, [(byte)i], [2], []))];

    [Fact]
    public void LogAppendTime_is_the_time_of_every_record()
    {
        var batch = SampleRecord.Build(Three, CompressionType.Gzip);
        RecordBatchRewriter.StampLogAppendTime(batch, 5_000);
        Assert.Null(RecordBatches.Validate(batch, out var header));
        Assert.True(header.IsLogAppendTime);
        Assert.Equal((100L, 5_000L), (header.BaseTimestamp, header.MaxTimestamp));
        Assert.All(SampleRecord.Read(batch), record => Assert.Equal(5_000, record.Record.Timestamp));
    }

    [Fact]
    public void LogAppendTime_survives_compaction()
    {
        var batch = SampleRecord.Build(Three);
        RecordBatchRewriter.StampLogAppendTime(batch, 5_000);
        using var destination = new PooledBuffer();
        RecordPredicate second = (in OrleansMq.Records.Record record) => record.Offset == 1;
        RecordBatchRewriter.Retain(batch, second, StandardCodecs.All, destination, deleteHorizon: 9_000);
        var left = Assert.Single(SampleRecord.Read(destination.WrittenMemory));
        Assert.Equal((1L, 5_000L), (left.Offset, left.Record.Timestamp));
    }

    [Fact]
    public void Batch_kept_whole_keeps_its_bytes()
    {
        var batch = SampleRecord.Build(Three, CompressionType.Zstd, 10);
        using var destination = new PooledBuffer();
        destination.Write([1, 2, 3]);
        Assert.Equal(3, RecordBatchRewriter.Retain(batch, (in OrleansMq.Records.Record _) => true, StandardCodecs.All, destination));
        Assert.Equal(batch, destination.WrittenSpan[3..].ToArray());
    }

    [Fact]
    public void Emptied_batch_is_a_header_that_can_be_emptied_again()
    {
        var batch = SampleRecord.Build(Three, CompressionType.Zstd, 10);
        using var once = new PooledBuffer();
        Assert.Equal(0, RecordBatchRewriter.Retain(batch, (in OrleansMq.Records.Record _) => false, StandardCodecs.All, once));
        Assert.Equal(RecordBatchHeader.Size, once.Length);
        using var twice = new PooledBuffer();
        Assert.Equal(0, RecordBatchRewriter.Retain(once.WrittenMemory, (in OrleansMq.Records.Record _) => true, StandardCodecs.All, twice));
        Assert.Equal(once.WrittenSpan.ToArray(), twice.WrittenSpan.ToArray());
        Assert.Null(RecordBatches.ValidateRecords(twice.WrittenSpan, StandardCodecs.All, allowGaps: true));
        Assert.Equal(12, RecordBatchHeader.Read(twice.WrittenSpan).LastOffset);
    }

    [Fact]
    public void Batch_with_damaged_records_is_not_rewritten()
    {
        var batch = SampleRecord.Build(Three);
        batch[RecordBatchHeader.Size] = 0x7F;
        using var destination = new PooledBuffer();
        Assert.Throws<RecordBatchException>(() =>
            RecordBatchRewriter.Retain(batch, (in OrleansMq.Records.Record _) => true, StandardCodecs.All, destination));
        Assert.Equal(0, destination.Length);
    }
}
