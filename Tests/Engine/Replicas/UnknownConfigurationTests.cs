using OrleansMq.Replication;
using OrleansMq.Tests.Engine.Partitions;
using OrleansMq.Topics;

namespace OrleansMq.Tests.Engine.Replicas;

/// <summary>A broker opens its replicas before it knows their topics. Until then none of them acknowledges alone.</summary>
public sealed class UnknownConfigurationTests
{
    [Fact]
    public async Task Restarted_leader_acknowledges_nothing_alone_and_keeps_the_others_eligible()
    {
        await using var partition = await ReplicatedPartition.StartAsync();
        var spec = await RestartAloneAsync(partition);
        var leader = await partition.LeadAsync(1);
        Assert.Equal(ErrorCode.NotEnoughReplicas, (await leader.Partition.AppendAsync(PartitionRig.Batch(1, "alone"), Acks.All)).Error);
        await partition.InSyncAsync(1);
        Assert.Equal([2, 3], partition.State.Elr.Select(member => member.Broker).Order());

        // The configuration requires two replicas, too.
        leader.Partition.UpdateConfig(spec.Config);
        Assert.Equal(ErrorCode.NotEnoughReplicas, (await leader.Partition.AppendAsync(PartitionRig.Batch(1, "alone"), Acks.All)).Error);
        await partition[2].StartAsync();
        await partition.InSyncAsync(2);
        await partition.AppendAsync("both");
        await partition.AllTheSameAsync();
    }

    [Fact]
    public async Task Restarted_leader_acknowledges_once_the_configuration_allows_it()
    {
        await using var partition = await ReplicatedPartition.StartAsync(TopicConfig.Default with { MinInsyncReplicas = 1 });
        var spec = await RestartAloneAsync(partition);
        var leader = await partition.LeadAsync(1);
        Assert.Equal(ErrorCode.NotEnoughReplicas, (await leader.Partition.AppendAsync(PartitionRig.Batch(1, "early"), Acks.All)).Error);
        leader.Partition.UpdateConfig(spec.Config);
        await partition.AppendAsync("alone");
        Assert.Empty(partition.State.Elr);
    }

    [Fact]
    public async Task Leader_has_every_tick_until_it_follows_a_configuration()
    {
        await using var partition = await ReplicatedPartition.StartAsync();
        var leader = await partition.LeadAsync(1);
        await partition.InSyncAsync(3);
        await partition.AppendAsync("all");
        await ReplicatedPartition.Until(() => leader.IsQuiet, static () => "only the lease needs ticks");
        // No tick is carried out meanwhile.
        lock (leader.Partition.Log!.AppendLock)
        {
            leader.Partition.SetConfig(partition.Config with { MinInsyncReplicas = 3 });
            Assert.False(leader.IsQuiet);
        }
        await ReplicatedPartition.Until(() => leader.IsQuiet, static () => "it follows the configuration");
    }

    // All brokers stop, and broker 1 starts without knowing the topic.
    private static async Task<ReplicaSpec> RestartAloneAsync(ReplicatedPartition partition)
    {
        await partition.LeadAsync(1);
        await partition.InSyncAsync(3);
        await partition.AppendAsync("all");
        foreach (var broker in (int[])[2, 3, 1])
            await partition[broker].KillAsync();
        var spec = partition.Cluster.Specs[ReplicatedPartition.Key];
        partition.Cluster.Specs.Clear();
        await partition[1].StartAsync();
        partition.Cluster.Specs[ReplicatedPartition.Key] = spec;
        return spec;
    }
}
