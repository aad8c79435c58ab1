using OrleansMq.Api;
using OrleansMq.Storage;
using OrleansMq.Tests.Engine.Partitions;
using OrleansMq.Topics;

namespace OrleansMq.Tests.Engine.Replicas;

/// <summary>Appends with acks=replicated to a topic whose records are flushed, on three brokers.</summary>
public sealed class UnflushedAnswerTests
{
    private static readonly TimeSpan Patience = ReplicatedPartition.Deadline;

    [Fact]
    public async Task Append_is_answered_before_any_flush_and_survives_its_leader()
    {
        await using var partition = await ReplicatedPartition.StartAsync(
            TopicConfig.Default with { MinInsyncReplicas = 2, FlushMessages = 1 });
        var disks = await SlowDisksAsync(partition);
        var leader = await partition.LeadAsync(1);
        await partition.InSyncAsync(3);
        await partition.AppendAsync("before");
        foreach (var disk in disks.Values)
            disk.Slow.Stop();
        var first = await leader.Partition.AppendAsync(PartitionRig.Batch(1, "first"), Acks.Replicated).AsTask().WaitAsync(Patience);
        var persistent = leader.Partition.AppendAsync(PartitionRig.Batch(1, "persistent"), Acks.All).AsTask();
        var second = await leader.Partition.AppendAsync(PartitionRig.Batch(1, "second"), Acks.Replicated).AsTask().WaitAsync(Patience);
        Assert.Equal((ErrorCode.None, 1, ErrorCode.None, 3), (first.Error, first.BaseOffset, second.Error, second.BaseOffset));
        Assert.False(persistent.IsCompleted);
        Assert.Equal(1, leader.Partition.HighWatermark);
        Assert.Equal((4, 4), (partition.LogOf(2).LogEndOffset, partition.LogOf(3).LogEndOffset));

        partition[1].Files = disks[1].Memory;
        foreach (var disk in disks.Values)
            disk.Slow.Go();
        await partition[1].KillAsync();
        var next = await partition.LeadAsync(2);
        await ReplicatedPartition.Until(() => next.Partition.HighWatermark == 4, () => $"committed: {next.Partition.HighWatermark}");
        Assert.Equal([(0L, "before"), (1, "first"), (2, "persistent"), (3, "second")], await partition.ReadAsync(2));
        Assert.Contains((await persistent.WaitAsync(Patience)).Error, (ErrorCode[])[ErrorCode.None, ErrorCode.RequestTimedOut]);
    }

    [Fact]
    public async Task Append_is_refused_as_with_acks_all_while_too_few_replicas_are_in_sync()
    {
        await using var partition = await ReplicatedPartition.StartAsync(
            TopicConfig.Default with { MinInsyncReplicas = 2, FlushMessages = 1 },
            options: ReplicatedPartition.Patient with { ReplicaLagTimeMax = TimeSpan.FromSeconds(1) });
        var leader = await partition.LeadAsync(1);
        await partition.InSyncAsync(3);
        partition.Cluster.Isolate(1);
        await partition.InSyncAsync(1);
        var refused = await leader.Partition.AppendAsync(PartitionRig.Batch(1, "alone"), Acks.Replicated);
        Assert.Equal((ErrorCode.NotEnoughReplicas,
            "Too few replicas of t-0 are in sync for acks=replicated; nothing was appended. Retry."), (refused.Error, refused.Message));
    }

    [Fact]
    public async Task Duplicate_whose_offset_is_forgotten_is_answered_when_its_original_is_replicated()
    {
        await using var partition = await ReplicatedPartition.StartAsync(
            TopicConfig.Default with { MinInsyncReplicas = 2, FlushMessages = 1 });
        var disks = await SlowDisksAsync(partition);
        var leader = await partition.LeadAsync(1);
        await partition.InSyncAsync(3);
        // From here on, rounds do not wait for the flush.
        var before = await leader.Partition.AppendAsync(PartitionRig.Batch(1, "before"), Acks.Replicated).AsTask().WaitAsync(Patience);
        Assert.Equal((ErrorCode.None, 0), (before.Error, before.BaseOffset));
        await ReplicatedPartition.Until(() => leader.Partition.HighWatermark == 1, () => $"committed: {leader.Partition.HighWatermark}");
        foreach (var disk in disks.Values)
            disk.Slow.Stop();
        var originals = Enumerable.Range(0, 7).Select(Send).ToArray();
        var forgotten = Send(0);
        var last = await leader.Partition.AppendAsync(PartitionRig.Batch(1, "last"), Acks.Replicated).AsTask().WaitAsync(Patience);
        Assert.Equal((ErrorCode.None, 8), (last.Error, last.BaseOffset));
        Assert.Equal(1, leader.Partition.HighWatermark);
        Assert.False(forgotten.IsCompleted);
        foreach (var disk in disks.Values)
            disk.Slow.Go();
        Assert.Equal(ErrorCode.DuplicateSequenceNumber, (await forgotten.WaitAsync(Patience)).Error);
        Assert.All(await Task.WhenAll(originals).WaitAsync(Patience), original => Assert.Equal(ErrorCode.None, original.Error));

        Task<ProduceResult> Send(int sequence) => leader.Partition.AppendAsync(
            PartitionRig.Batch(1, b => b.SetProducer(5, 0, sequence), "v"), Acks.All).AsTask();
    }

    private static async Task<Dictionary<int, (SlowDisk Slow, IFileSystem Memory)>> SlowDisksAsync(ReplicatedPartition partition)
    {
        var disks = new Dictionary<int, (SlowDisk Slow, IFileSystem Memory)>();
        foreach (var id in (int[])[1, 2, 3])
        {
            await partition[id].StopAsync();
            var memory = partition[id].Files;
            disks[id] = (new SlowDisk(memory), memory);
            partition[id].Files = disks[id].Slow.Files;
            await partition[id].StartAsync();
        }
        return disks;
    }
}
