using OrleansMq.Log;
using OrleansMq.Topics;

namespace OrleansMq.Tests.Engine.Log;

public sealed class RetentionPolicyTests
{
    private static readonly SegmentFacts[] Segments =
    [
        new(0, 10, 100, 1000),
        new(10, 20, 100, 3000),
        new(20, 30, 100, 2000),
        new(30, 40, 100, 4000),
    ];

    [Theory]
    [InlineData(1500, 40, 1)]
    [InlineData(1000, 40, 0)]
    [InlineData(2500, 40, 1)]
    [InlineData(3500, 40, 3)]
    [InlineData(3500, 25, 2)]
    [InlineData(99_000, 40, 3)]
    public void Old_segments_are_deleted_from_the_front_up_to_the_first_newer_one(long now, long highWatermark, int expected) =>
        Assert.Equal(expected, RetentionPolicy.CountExpired(Segments, new TopicConfig { RetentionMs = 0 }, highWatermark, now));

    [Theory]
    [InlineData(400, 40, 0)]
    [InlineData(301, 40, 0)]
    [InlineData(300, 40, 1)]
    [InlineData(150, 40, 2)]
    [InlineData(0, 40, 3)]
    [InlineData(0, 12, 1)]
    [InlineData(-1, 40, 0)]
    public void Segments_are_deleted_while_the_rest_exceeds_the_size_limit(long retentionBytes, long highWatermark, int expected) =>
        Assert.Equal(expected, RetentionPolicy.CountOversize(Segments, new TopicConfig { RetentionBytes = retentionBytes }, highWatermark));

    [Theory]
    [InlineData(40, 40, 0)]
    [InlineData(31, 40, 0)]
    [InlineData(30, 40, 1)]
    [InlineData(29, 40, 1)]
    [InlineData(0, 40, 3)]
    [InlineData(0, 12, 1)]
    [InlineData(5, 26, 2)]
    [InlineData(long.MaxValue, 40, 0)]
    [InlineData(-1, 40, 0)]
    public void Segments_are_deleted_while_the_rest_has_as_many_records_below_the_high_watermark(long records, long highWatermark,
        int expected) =>
        Assert.Equal(expected, RetentionPolicy.CountSurplus(Segments, new TopicConfig { RetentionRecords = records }, highWatermark));

    [Fact]
    public void Topic_with_compaction_only_keeps_all_segments()
    {
        var config = new TopicConfig { CleanupDelete = false, CleanupCompact = true, RetentionMs = 0, RetentionBytes = 0,
            RetentionRecords = 0 };
        Assert.Equal(0, RetentionPolicy.CountSurplus(Segments, config, 40));
        Assert.Equal(0, RetentionPolicy.CountExpired(Segments, config, 40, 99_000));
        Assert.Equal(0, RetentionPolicy.CountOversize(Segments, config, 40));
        Assert.False(RetentionPolicy.MustRollActive(Segments, config, 40, 99_000));
    }

    [Theory]
    [InlineData(99_000, 40, true)]
    [InlineData(4000, 40, false)]
    [InlineData(99_000, 39, false)]
    public void Active_segment_is_rolled_only_when_it_is_expired_and_visible(long now, long highWatermark, bool expected) =>
        Assert.Equal(expected, RetentionPolicy.MustRollActive(Segments, new TopicConfig { RetentionMs = 0 }, highWatermark, now));

    [Fact]
    public void Records_without_a_timestamp_never_expire()
    {
        SegmentFacts[] segments = [new(0, 10, 100, -1), new(10, 20, 100, -1)];
        Assert.Equal(0, RetentionPolicy.CountExpired(segments, new TopicConfig { RetentionMs = 0 }, 20, long.MaxValue));
    }

    [Theory]
    [InlineData(0, 0)]
    [InlineData(9, 0)]
    [InlineData(10, 1)]
    [InlineData(35, 3)]
    [InlineData(40, 3)]
    public void Segments_below_the_log_start_are_deleted_except_the_active_one(long logStart, int expected) =>
        Assert.Equal(expected, RetentionPolicy.CountBelow(Segments, logStart));
}
