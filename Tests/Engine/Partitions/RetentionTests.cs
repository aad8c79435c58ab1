using OrleansMq.Topics;

namespace OrleansMq.Tests.Engine.Partitions;

public sealed class RetentionTests
{
    private static readonly TopicConfig Small = new() { SegmentBytes = 1000, FileDeleteDelayMs = 0, IndexIntervalBytes = 100 };

    [Fact]
    public async Task Segments_with_only_expired_records_are_deleted()
    {
        await using var rig = await PartitionRig.StartAsync(Small with { RetentionMs = 60_000 });
        await rig.AppendManyAsync(10);
        rig.Clock.Advance(TimeSpan.FromSeconds(45));
        await rig.AppendManyAsync(10);
        rig.Clock.Advance(TimeSpan.FromSeconds(30));
        rig.Partition.Maintain(rig.Clock.Now);
        var start = rig.Partition.LogStartOffset;
        Assert.InRange(start, 5, 10);
        Assert.Equal($"{start:D20}.log", rig.FilesOf(".log")[0]);
        Assert.Equal(start, (await rig.ReadAllAsync(start))[0].Offset);
        using var below = await rig.Partition.ReadAsync(new(PartitionRig.Name, 0));
        Assert.Equal((ErrorCode.OffsetOutOfRange, start), (below.Error, below.LogStartOffset));
        await rig.KillAsync();
        Assert.Equal((start, 20L), (rig.Partition.LogStartOffset, rig.Partition.LogEndOffset));
    }

    [Fact]
    public async Task Active_segment_is_rolled_when_everything_expired_and_offsets_continue()
    {
        await using var rig = await PartitionRig.StartAsync(Small with { RetentionMs = 60_000 });
        await rig.AppendManyAsync(10);
        rig.Clock.Advance(TimeSpan.FromSeconds(90));
        rig.Partition.Maintain(rig.Clock.Now);
        Assert.Equal((10L, 10L, 0L), (rig.Partition.LogStartOffset, rig.Partition.LogEndOffset, rig.Partition.SizeInBytes));
        Assert.Equal(["00000000000000000010.log"], rig.FilesOf(".log"));
        Assert.Equal(10, (await rig.AppendAsync("on")).BaseOffset);
        await rig.RestartAsync();
        Assert.Equal([(10L, "on")], await rig.ReadAllAsync(10));
        await rig.CutPowerAsync(1);
        Assert.Equal(10, rig.Partition.LogStartOffset);
    }

    [Fact]
    public async Task Oldest_segments_are_deleted_while_the_log_exceeds_its_size_limit()
    {
        await using var rig = await PartitionRig.StartAsync(Small with { RetentionBytes = 3000 });
        await rig.AppendManyAsync(40);
        rig.Partition.Maintain(rig.Clock.Now);
        Assert.InRange(rig.Partition.SizeInBytes, 3000, 4000);
        Assert.Equal(40, rig.Partition.LogEndOffset);
    }

    [Fact]
    public async Task Oldest_segments_are_deleted_while_the_log_has_more_records_than_its_limit()
    {
        await using var rig = await PartitionRig.StartAsync(Small with { RetentionRecords = 12 });
        await rig.AppendManyAsync(12);
        rig.Partition.Maintain(rig.Clock.Now);
        Assert.Equal(0, rig.Partition.LogStartOffset);
        await rig.AppendManyAsync(60);
        rig.Partition.Maintain(rig.Clock.Now);
        var segments = rig.Partition.Log!.Segments;
        Assert.Equal(segments[0].BaseOffset, rig.Partition.LogStartOffset);
        Assert.InRange(segments[0].BaseOffset, 1, 60);
        Assert.InRange(segments[0].NextOffset, 61, 72);
    }

    [Fact]
    public async Task Deleted_files_stay_for_their_delay_so_that_a_reader_can_finish()
    {
        await using var rig = await PartitionRig.StartAsync(Small with { RetentionBytes = 1000, FileDeleteDelayMs = 5000 });
        await rig.AppendManyAsync(40);
        var log = rig.Partition.Log!;
        using (var lease = log.Segments[0].Log.Rent())
        {
            rig.Partition.Maintain(rig.Clock.Now);
            Assert.NotEmpty(rig.FilesOf(".deleted"));
            rig.Clock.Advance(TimeSpan.FromSeconds(6));
            rig.Partition.Maintain(rig.Clock.Now);
            Assert.Empty(rig.FilesOf(".deleted"));
            Assert.Equal(61, lease.File.Read(new byte[61], 0));
        }
    }

    [Fact]
    public async Task Records_are_deleted_permanently_up_to_an_offset()
    {
        await using var rig = await PartitionRig.StartAsync(Small);
        await rig.AppendManyAsync(40);
        Assert.Equal(17, await rig.Partition.DeleteRecordsAsync(17));
        Assert.Equal(17, (await rig.ReadAllAsync(17))[0].Offset);
        Assert.True(long.Parse(rig.FilesOf(".log")[0][..20]) is > 5 and <= 17);
        Assert.Equal(17, await rig.Partition.DeleteRecordsAsync(3));
        await rig.CutPowerAsync(Seeds.Next());
        Assert.Equal((17L, 40L), (rig.Partition.LogStartOffset, rig.Partition.LogEndOffset));
        Assert.Equal(40, await rig.Partition.DeleteRecordsAsync(-1));
        await rig.RestartAsync();
        Assert.Equal((40L, 40L), (rig.Partition.LogStartOffset, rig.Partition.LogEndOffset));
        Assert.Equal(40, (await rig.AppendAsync("on")).BaseOffset);
    }

    [Fact]
    public async Task Records_beyond_the_end_or_of_a_compacted_topic_cannot_be_deleted()
    {
        await using var rig = await PartitionRig.StartAsync(Small);
        await rig.AppendManyAsync(3);
        Assert.Equal(ErrorCode.OffsetOutOfRange, await RefusalAsync(rig, 4));
        Assert.Equal(ErrorCode.OffsetOutOfRange, await RefusalAsync(rig, -2));
        rig.Partition.UpdateConfig(Small with { CleanupDelete = false, CleanupCompact = true });
        Assert.Equal(ErrorCode.PolicyViolation, await RefusalAsync(rig, 1));
    }

    [Fact]
    public async Task Segment_is_rolled_by_age_without_further_appends()
    {
        await using var rig = await PartitionRig.StartAsync(new TopicConfig { SegmentMs = 60_000, RetentionMs = -1 });
        await rig.AppendAsync("a");
        rig.Clock.Advance(TimeSpan.FromSeconds(61));
        rig.Partition.Maintain(rig.Clock.Now);
        rig.Partition.Maintain(rig.Clock.Now);
        Assert.Equal(2, rig.FilesOf(".log").Count);
        await rig.AppendAsync("b");
        Assert.Equal([(0L, "a"), (1L, "b")], await rig.ReadAllAsync());
    }

    [Fact]
    public async Task Maintenance_runs_retention_when_it_is_due()
    {
        await using var rig = await PartitionRig.StartAsync(new TopicConfig
        {
            RetentionMs = 60_000,
            FlushMs = 1000,
            FileDeleteDelayMs = 0
        });
        await rig.AppendManyAsync(10);
        Assert.True(rig.Partition.Log!.FlushedPoint.Offset < 10);
        rig.Clock.Advance(TimeSpan.FromMilliseconds(800));
        Assert.True(rig.Partition.Log!.FlushedPoint.Offset < 10);
        rig.Clock.Advance(TimeSpan.FromMilliseconds(500));
        Assert.Equal(10, rig.Partition.Log!.FlushedPoint.Offset);
        Assert.Equal(0, rig.Partition.Log!.RecoveryPoint.Offset);
        rig.Clock.Advance(TimeSpan.FromSeconds(60));
        Assert.Equal(10, rig.Partition.Log!.RecoveryPoint.Offset);
        Assert.Equal(0, rig.Partition.LogStartOffset);
        rig.Clock.Advance(TimeSpan.FromMinutes(5));
        Assert.Equal(10, rig.Partition.LogStartOffset);
    }

    [Fact]
    public async Task Number_of_unflushed_records_triggers_an_early_flush()
    {
        await using var rig = await PartitionRig.StartAsync(new TopicConfig { FlushMessages = 5, FlushMs = 1_000_000 });
        await rig.AppendManyAsync(4);
        rig.Clock.Advance(TimeSpan.FromSeconds(1));
        Assert.Equal(0, rig.Partition.Log!.FlushedPoint.Offset);
        await rig.AppendManyAsync(1);
        rig.Clock.Advance(TimeSpan.FromSeconds(1));
        Assert.Equal(5, rig.Partition.Log!.FlushedPoint.Offset);
    }

    private static async Task<ErrorCode> RefusalAsync(PartitionRig rig, long beforeOffset) =>
        (await Assert.ThrowsAsync<BrokerException>(() => rig.Partition.DeleteRecordsAsync(beforeOffset).AsTask())).Code;
}
