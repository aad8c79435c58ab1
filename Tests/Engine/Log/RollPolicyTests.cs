using OrleansMq.Log;
using OrleansMq.Topics;

namespace OrleansMq.Tests.Engine.Log;

public sealed class RollPolicyTests
{
    private static readonly TopicConfig Config = new() { SegmentBytes = 1000, SegmentMs = 5000, SegmentIndexBytes = 60 };
    private static readonly RollPolicy.Active Active = new(BaseOffset: 100, Size: 500, IndexEntries: 1, TimeIndexEntries: 1,
        FirstTimestamp: 10_000, CreatedAt: 20_000);

    [Theory]
    [InlineData(500, RollReason.None)]
    [InlineData(501, RollReason.Size)]
    internal void By_size(int batchBytes, RollReason expected) => Assert.Equal(expected, Decide(Active, batchBytes));

    [Theory]
    [InlineData(15_000, 0, RollReason.None)]
    [InlineData(15_001, 0, RollReason.Age)]
    [InlineData(14_001, 1000, RollReason.Age)]
    [InlineData(9_000, 0, RollReason.None)]
    internal void By_the_age_of_its_records(long timestamp, long jitter, RollReason expected) =>
        Assert.Equal(expected, RollPolicy.BeforeAppend(Active, 10, 110, timestamp, Config, jitter));

    [Theory]
    [InlineData(6, 1, RollReason.None)]
    [InlineData(7, 1, RollReason.IndexFull)]
    [InlineData(1, 3, RollReason.None)]
    [InlineData(1, 4, RollReason.IndexFull)]
    internal void By_full_indexes(int entries, int timeEntries, RollReason expected) =>
        Assert.Equal(expected, Decide(Active with { IndexEntries = entries, TimeIndexEntries = timeEntries }, 10));

    [Fact]
    public void Segment_rolls_before_an_offset_that_no_index_entry_can_hold()
    {
        Assert.Equal(RollReason.None, RollPolicy.BeforeAppend(Active, 10, 100L + int.MaxValue, 10_000, Config, 0));
        Assert.Equal(RollReason.RelativeOffset, RollPolicy.BeforeAppend(Active, 10, 101L + int.MaxValue, 10_000, Config, 0));
    }

    [Fact]
    public void Empty_segment_accepts_any_batch() => Assert.Equal(RollReason.None, Decide(Active with { Size = 0 }, 5_000_000));

    [Theory]
    [InlineData(25_000, 500, RollReason.None)]
    [InlineData(25_001, 500, RollReason.Age)]
    [InlineData(99_000, 0, RollReason.None)]
    internal void While_nothing_is_appended_by_the_brokers_clock(long now, long size, RollReason expected) =>
        Assert.Equal(expected, RollPolicy.WhileIdle(Active with { Size = size }, Config, 0, now));

    private static RollReason Decide(RollPolicy.Active active, int batchBytes) =>
        RollPolicy.BeforeAppend(active, batchBytes, 110, 10_000, Config, 0);
}
