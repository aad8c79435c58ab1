using OrleansMq.Api;
using OrleansMq.Replication;
using OrleansMq.Tests.Engine.Partitions;

namespace OrleansMq.Tests.Engine.Replicas;

/// <summary>Three managers over real logs, and one partition.</summary>
public sealed class ReplicaManagerTests
{
    [Fact]
    public async Task Record_acknowledged_with_acks_all_is_on_every_replica()
    {
        await using var partition = await ReplicatedPartition.StartAsync();
        var leader = await partition.LeadAsync(1);
        Assert.Equal(ReplicaRole.Leader, leader.Role);
        await partition.InSyncAsync(3);
        for (var i = 0; i < 100; i++)
            Assert.Equal(i, await partition.AppendAsync($"v{i}"));
        Assert.Equal(100, leader.Partition.HighWatermark);
        await partition.AllTheSameAsync();
        Assert.Equal(100, (await partition.ReadAsync(1)).Count);
    }

    [Fact]
    public async Task Another_replica_leads_after_the_leaders_kill_without_loss()
    {
        await using var partition = await ReplicatedPartition.StartAsync();
        await partition.LeadAsync(1);
        await partition.InSyncAsync(3);
        for (var i = 0; i < 50; i++)
            await partition.AppendAsync($"v{i}", 1, i);
        await partition[1].KillAsync();
        await partition.LeadAsync(2);
        for (var i = 50; i < 100; i++)
            await partition.AppendAsync($"v{i}", 1, i);
        await partition[1].StartAsync();
        await partition.InSyncAsync(3);
        await partition.AllTheSameAsync();
        Assert.Equal(Enumerable.Range(0, 100).Select(i => ((long)i, $"v{i}")), await partition.ReadAsync(2));
    }

    [Fact]
    public async Task Follower_refuses_and_names_the_possible_leader()
    {
        await using var partition = await ReplicatedPartition.StartAsync();
        await partition.LeadAsync(1);
        await partition.InSyncAsync(3);
        await partition.AppendAsync("v");
        var follower = partition.ReplicaOf(2).Partition;
        var refused = await follower.AppendAsync(PartitionRig.Batch(1, "x"), Acks.Leader);
        Assert.Equal(ErrorCode.NotLeaderOrFollower, refused.Error);
        Assert.Contains("broker 1", refused.Message, StringComparison.Ordinal);
        using var read = await follower.ReadAsync(new FetchRequest(follower.TopicPartition, 0));
        Assert.Equal(ErrorCode.NotLeaderOrFollower, read.Error);
        Assert.Equal(ErrorCode.NotLeaderOrFollower, follower.FindOffset(OffsetSpec.Latest).Error);
    }
}
