using OrleansMq.Api;
using OrleansMq.Topics;

namespace OrleansMq.Tests.Engine.Partitions;

/// <summary>A partition with one replica has a replication of its own, with the same checks as replicated ones.</summary>
public sealed class SoleReplicationTests
{
    private static readonly TopicConfig Strict = TopicConfig.Default with { MinInsyncReplicas = 2 };

    [Fact]
    public async Task Append_with_acks_all_below_min_insync_is_refused_by_the_partition_itself()
    {
        await using var rig = await PartitionRig.StartAsync(Strict);
        var refused = await AppendAsync(rig, Acks.All);
        Assert.Equal(ErrorCode.NotEnoughReplicas, refused.Error);
        Assert.Equal("Partition t-0 has 1 replica, its topic's 'min.insync.replicas' is 2: set that to 1, or send with acks=1.",
            refused.Message);
        Assert.Equal(0, rig.Partition.LogEndOffset);
    }

    [Theory]
    [InlineData(Acks.Leader)]
    [InlineData(Acks.None)]
    public async Task Append_that_does_not_wait_for_replicas_ignores_min_insync(Acks acks)
    {
        await using var rig = await PartitionRig.StartAsync(Strict);
        Assert.Equal(ErrorCode.None, (await AppendAsync(rig, acks)).Error);
        Assert.Equal(1, rig.Partition.HighWatermark);
    }

    [Fact]
    public async Task Config_change_applies_to_the_next_append()
    {
        await using var rig = await PartitionRig.StartAsync();
        Assert.Equal(ErrorCode.None, (await AppendAsync(rig, Acks.All)).Error);
        rig.Partition.UpdateConfig(Strict);
        Assert.Equal(ErrorCode.NotEnoughReplicas, (await AppendAsync(rig, Acks.All)).Error);
        Assert.Equal((1, 1), (rig.Partition.LogEndOffset, rig.Partition.HighWatermark));
    }

    [Fact]
    public async Task Offline_partition_reports_its_storage_before_its_replicas()
    {
        await using var rig = await PartitionRig.StartAsync(Strict);
        rig.Partition.GoOffline("the disk is gone", null);
        Assert.Equal(ErrorCode.KafkaStorageError, (await AppendAsync(rig, Acks.All)).Error);
    }

    private static ValueTask<ProduceResult> AppendAsync(PartitionRig rig, Acks acks) =>
        rig.Partition.AppendAsync(PartitionRig.Batch(rig.Clock.Now, "a"), acks);
}
