using OrleansMq.Compaction;
using OrleansMq.Topics;

namespace OrleansMq.Tests.Engine.Compaction;

public class CompactionDecisionTests
{
    private const long Now = 1_000_000;
    private static readonly TopicConfig Compacted = TopicConfig.Default with { CleanupCompact = true, CleanupDelete = false };

    // Three rolled segments of 100 offsets and 1,000 bytes each, and an active one.
    private static readonly CleanableSegment[] Log =
    [
        new(0, 1000, 100, 200, false), new(100, 1000, 300, 400, false), new(200, 1000, 500, 600, false), new(300, 500, 700, 800, true),
    ];

    [Fact]
    public void Topic_without_compaction_is_not_cleaned() =>
        Assert.Equal(CompactionReason.NotCompacted, Decide(config: TopicConfig.Default).Reason);

    [Fact]
    public void Log_never_cleaned_is_dirty_up_to_the_active_segment() =>
        Assert.Equal(new CompactionDecision(CompactionReason.DirtyRatio, 0, 300, 1), Decide());

    [Fact]
    public void High_watermark_bounds_the_cleaning()
    {
        Assert.Equal(150, Decide(highWatermark: 150).FirstUncleanableOffset);
        Assert.Equal(0, Decide(highWatermark: 0).FirstUncleanableOffset);
        Assert.Equal(CompactionReason.NothingDirty, Decide(highWatermark: 0).Reason);
    }

    [Theory]
    [InlineData(0, nameof(CompactionReason.DirtyRatio))]
    [InlineData(100, nameof(CompactionReason.DirtyRatio))]
    [InlineData(200, nameof(CompactionReason.BelowDirtyRatio))]
    [InlineData(300, nameof(CompactionReason.NothingDirty))]
    public void Dirty_ratio_counts_only_cleanable_bytes(long checkpoint, string reason) =>
        Assert.Equal(reason, Decide(checkpoint).Reason.ToString());

    [Fact]
    public void Dirty_ratio_equal_to_the_limit_is_reached()
    {
        var config = Compacted with { MinCleanableDirtyRatio = 2.0 / 3 };
        Assert.Equal(CompactionReason.DirtyRatio, Decide(checkpoint: 100, config: config).Reason);
        Assert.Equal(CompactionReason.BelowDirtyRatio,
            Decide(checkpoint: 100, config: config with { MinCleanableDirtyRatio = 0.67 }).Reason);
    }

    [Fact]
    public void Young_records_protect_their_segment_and_all_later_ones()
    {
        Assert.Equal(100, Decide(config: Compacted with { MinCompactionLagMs = Now - 399 }).FirstUncleanableOffset);
        Assert.Equal(200, Decide(config: Compacted with { MinCompactionLagMs = Now - 400 }).FirstUncleanableOffset);
    }

    [Fact]
    public void Record_dirty_beyond_the_maximum_lag_is_cleaned_below_the_ratio()
    {
        var config = Compacted with { MinCleanableDirtyRatio = 1, MaxCompactionLagMs = Now - 500 };
        Assert.Equal(CompactionReason.BelowDirtyRatio, Decide(checkpoint: 200, config: config).Reason);
        Assert.Equal(CompactionReason.MaxLag, Decide(checkpoint: 200, config: config with { MaxCompactionLagMs = Now - 501 }).Reason);
    }

    [Theory]
    [InlineData(-1, 0)]
    [InlineData(301, 0)]
    [InlineData(150, 150)]
    public void Checkpoint_outside_the_log_is_ignored(long checkpoint, long firstDirty) =>
        Assert.Equal(firstDirty, Decide(checkpoint).FirstDirtyOffset);

    [Fact]
    public void Empty_log_has_nothing_to_clean()
    {
        CleanableSegment[] empty = [new(0, 0, -1, -1, true)];
        Assert.Equal(CompactionReason.NothingDirty, CompactionDecision.Decide(empty, -1, 0, 0, Compacted, Now).Reason);
    }

    private static CompactionDecision Decide(long checkpoint = -1, long highWatermark = 350, TopicConfig? config = null) =>
        CompactionDecision.Decide(Log, checkpoint, 0, highWatermark, config ?? Compacted, Now);
}

public class SegmentGroupsTests
{
    private static CleanableSegment Segment(long baseOffset, long size, bool active = false) => new(baseOffset, size, 0, 0, active);

    [Fact]
    public void Neighbouring_segments_are_merged_while_they_fit()
    {
        CleanableSegment[] log = [Segment(0, 40), Segment(10, 40), Segment(20, 40), Segment(30, 40), Segment(40, 10, active: true)];
        Assert.Equal([[0L, 10L], [20L, 30L]], Bases(SegmentGroups.Group(log, 40, 100)));
    }

    [Fact]
    public void Segment_larger_than_the_limit_stays_alone()
    {
        CleanableSegment[] log = [Segment(0, 40), Segment(10, 400), Segment(20, 40), Segment(30, 1, active: true)];
        Assert.Equal([[0L], [10L], [20L]], Bases(SegmentGroups.Group(log, 30, 100)));
    }

    [Fact]
    public void Offsets_of_a_merged_group_stay_within_the_index_range()
    {
        CleanableSegment[] log = [Segment(0, 1), Segment(10, 1), Segment(int.MaxValue, 1), Segment(int.MaxValue + 1L, 1),
            Segment(int.MaxValue + 10L, 0, active: true)];
        Assert.Equal([[0L, 10L, int.MaxValue], [int.MaxValue + 1L]], Bases(SegmentGroups.Group(log, long.MaxValue, 100)));
    }

    [Fact]
    public void Only_segments_below_the_end_are_cleaned()
    {
        CleanableSegment[] log = [Segment(0, 1), Segment(10, 1), Segment(20, 1), Segment(30, 0, active: true)];
        Assert.Equal([[0L, 10L]], Bases(SegmentGroups.Group(log, 11, 100)));
        Assert.Empty(SegmentGroups.Group(log, 0, 100));
    }

    private static IEnumerable<IEnumerable<long>> Bases(IReadOnlyList<IReadOnlyList<CleanableSegment>> groups) =>
        groups.Select(g => g.Select(s => s.BaseOffset));
}

public class RecordFateTests
{
    [Theory]
    [InlineData(10, true, true, -1, null, nameof(RecordFate.Keep))]
    [InlineData(10, true, true, 10, null, nameof(RecordFate.Keep))]
    [InlineData(10, true, true, 11, null, nameof(RecordFate.Superseded))]
    [InlineData(10, true, false, 10, null, nameof(RecordFate.Keep))]
    [InlineData(10, true, false, 10, 500L, nameof(RecordFate.Keep))]
    [InlineData(10, true, false, 10, 499L, nameof(RecordFate.ExpiredTombstone))]
    [InlineData(10, true, true, 10, 499L, nameof(RecordFate.Keep))]
    [InlineData(10, false, true, -1, null, nameof(RecordFate.NoKey))]
    public void Latest_record_of_a_key_survives(long offset, bool hasKey, bool hasValue, long latest, long? horizon, string fate) =>
        Assert.Equal(fate, RecordFates.Decide(offset, hasKey, hasValue, latest, horizon, now: 500).ToString());

    [Fact]
    public void Delete_horizon_does_not_overflow()
    {
        Assert.Equal(long.MaxValue, RecordFates.DeleteHorizon(500, long.MaxValue));
        Assert.Equal(600, RecordFates.DeleteHorizon(500, 100));
    }
}

public class KeyOffsetMapTests
{
    [Fact]
    public void Key_map_keeps_the_latest_offset_of_each_key()
    {
        var random = new Random(17);
        var map = new KeyOffsetMap(1 << 20);
        var expected = new Dictionary<int, long>();
        for (var offset = 0L; offset < 50_000; offset++)
        {
            var key = random.Next(20_000);
            Assert.True(map.TryPut(BitConverter.GetBytes(key), offset));
            expected[key] = offset;
        }
        Assert.Equal(expected.Count, map.Count);
        Assert.All(expected, pair => Assert.Equal(pair.Value, map.LatestOffsetOf(BitConverter.GetBytes(pair.Key))));
        Assert.Equal(-1, map.LatestOffsetOf("no such key"u8));
    }

    [Fact]
    public void Key_map_is_bounded_and_reports_when_full()
    {
        var map = new KeyOffsetMap(24 * 100);
        for (var i = 0; i < map.Capacity; i++)
        {
            Assert.True(map.HasRoomFor(1));
            Assert.True(map.TryPut(BitConverter.GetBytes(i), i));
        }
        Assert.Equal(75, map.Count);
        Assert.False(map.HasRoomFor(1));
        Assert.False(map.TryPut("one more"u8, 1000));
        Assert.Equal((-1L, 75), (map.LatestOffsetOf("one more"u8), map.Count));
        Assert.True(map.TryPut(BitConverter.GetBytes(0), 1000));
        Assert.Equal(1000, map.LatestOffsetOf(BitConverter.GetBytes(0)));
    }

    [Fact]
    public void Key_map_allocates_only_for_the_expected_keys()
    {
        var map = new KeyOffsetMap(expectedKeys: 1000);
        Assert.InRange(map.Capacity, 1000, 1100);
        map.Clear();
        Assert.Equal(0, map.Count);
    }
}
