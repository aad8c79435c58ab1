using System.Buffers.Binary;
using OrleansMq.Cli.Segments;
using OrleansMq.Records;
using OrleansMq.Tests.Shared;

namespace OrleansMq.Tests.Process.Segments;

/// <summary>Base offsets, which no CRC covers.</summary>
public sealed class SegmentScanTests
{
    private static readonly RecordBatchError? Bad = RecordBatchError.BadOffsets;

    [Fact]
    public void Gap_left_by_compaction_is_no_damage() => Assert.Equal([null, null, null], Faults(0, 3, 10, 100_000));

    [Fact]
    public void Repeated_offset_is_damage() => Assert.Equal([null, Bad, null], Faults(3, 3, 4, 7));

    [Fact]
    public void Offset_that_is_too_high_is_detected_by_the_next_batch() =>
        Assert.Equal([null, null, Bad, null], Faults(0, 0, 66_000, 4, 6));

    [Fact]
    public void Offset_before_the_segment_or_beyond_its_index_range_is_damage() =>
        Assert.Equal([Bad, null, Bad, null], Faults(5, 3, 5, 5 + (1L << 31), 7));

    [Fact]
    public void Segment_without_a_name_starts_at_its_first_batch() =>
        Assert.Equal([null, Bad, null, Bad], Faults(null, 5, 6 + (1L << 56), 7, long.MinValue));

    [Fact]
    public void Overflowing_offset_sum_is_damage() => Assert.Equal([null, Bad], Faults(0, 0, long.MaxValue));

    /// <summary>Returns the faults of a segment whose batches of two records each have those base offsets.</summary>
    private static IEnumerable<RecordBatchError?> Faults(long? segmentBase, params long[] baseOffsets)
    {
        using var file = new MemoryStream();
        foreach (var offset in baseOffsets)
        {
            var batch = TestBatches.Of("a", "b");
            BinaryPrimitives.WriteInt64BigEndian(batch, offset);
            file.Write(batch);
        }
        file.Position = 0;
        return [.. new SegmentScan(file, segmentBase).Read().Select(static batch => batch.Fault?.Error)];
    }
}
