using OrleansMq.Api;
using OrleansMq.Replication;
using OrleansMq.Storage;
using OrleansMq.Topics;

namespace OrleansMq.Tests.Engine.Replicas;

/// <summary>Untrusted replicas are set aside and copied again from the others.</summary>
public sealed class ReplicaRepairTests
{
    private static readonly TopicConfig Config = TopicConfig.Default with
    {
        MinInsyncReplicas = 2,
        SegmentBytes = 2000,
        FlushMessages = 1,
        FileDeleteDelayMs = 0,
        RetentionMs = -1,
        TimestampBeforeMaxMs = long.MaxValue,
    };

    [Fact]
    public async Task Segment_found_damaged_at_start_is_restored_from_the_others()
    {
        await using var partition = await ReplicatedPartition.StartAsync(Config);
        await FillAsync(partition);
        var before = partition.ReplicaOf(3).Identity;
        await partition[3].KillAsync();
        // Bytes missing below the flushed point are a loss.
        var last = partition[3].Files.ListFiles(PathOf(partition, 3)).Where(name => name.EndsWith(".log", StringComparison.Ordinal))
            .Order(StringComparer.Ordinal).Last();
        using (var file = partition[3].Files.Open(Path.Combine(PathOf(partition, 3), last), FileOpening.ReadWrite))
            file.SetLength(10);
        await partition[3].StartAsync();
        await RepairedAsync(partition, 3, before);
    }

    [Fact]
    public async Task Leader_that_reads_damage_stops_leading_and_starts_again()
    {
        await using var partition = await ReplicatedPartition.StartAsync(Config);
        await FillAsync(partition);
        var leader = partition.ReplicaOf(1);
        Flip(partition, 1, "00000000000000000000.log", 80);
        using (var read = await leader.Partition.ReadAsync(new FetchRequest(leader.TopicPartition, 0)))
            Assert.Equal(ErrorCode.KafkaStorageError, read.Error);
        await leader.LeadershipEnded.WaitAsync(ReplicatedPartition.Deadline);
        await partition.LeadAsync(2);
        await RepairedAsync(partition, 1, leader.Identity);
    }

    /// <summary>The only replica known to hold everything is never set aside, even if damaged.</summary>
    [Fact]
    public async Task Last_replica_is_not_set_aside()
    {
        await using var partition = await ReplicatedPartition.StartAsync(Config with { MinInsyncReplicas = 1 });
        await FillAsync(partition);
        await partition[2].StopAsync();
        await partition[3].StopAsync();
        await partition.InSyncAsync(1);
        var leader = partition.ReplicaOf(1);
        Flip(partition, 1, "00000000000000000000.log", 80);
        using (var read = await leader.Partition.ReadAsync(new FetchRequest(leader.TopicPartition, 0)))
            Assert.Equal(ErrorCode.KafkaStorageError, read.Error);
        await ReplicatedPartition.Until(() => partition[1].Lines.Of(Diagnostics.EngineLogLevel.Warning)
            .Any(line => line.Contains("no other broker holds all of it",
            StringComparison.Ordinal)), () => "told");
        Assert.Same(leader, partition.ReplicaOf(1));
        Assert.Equal(ReplicaRole.Offline, leader.Role);
        Assert.True(partition[1].Files.FileExists(Path.Combine(PathOf(partition, 1), "00000000000000000000.log")));
    }

    [Fact]
    public async Task Topic_recreated_while_its_broker_was_down_is_another_one()
    {
        await using var partition = await ReplicatedPartition.StartAsync(Config);
        await FillAsync(partition);
        await partition[3].StopAsync();
        var again = new ReplicaKey(Guid.NewGuid(), 0);
        foreach (var id in (int[])[1, 2])
            await partition[id].Manager.DropAsync(ReplicatedPartition.Key);
        partition.Cluster.Specs.Clear();
        partition.Cluster.Specs[again] = new ReplicaSpec("t", Config);
        partition.Cluster.Create(again, PartitionState.Create(again.TopicId, [1, 2, 3]));
        await partition[3].StartAsync();
        var leader = partition[1].Manager.GetOrCreate(again, partition.Cluster.Specs[again]);
        Assert.Equal(ClaimOutcome.Claim, (await leader.LeadAsync(new ClaimRequest([]), CancellationToken.None)).Outcome);
        await ReplicatedPartition.Until(() => leader.State!.Isr.Length == 3, () => leader.State!.ToString());
        Assert.False(partition[3].Manager.TryGet(ReplicatedPartition.Key, out _));
        Assert.Contains(partition[3].Files.ListDirectories(Path.Combine(partition[3].Data, "logs")),
            name => name.EndsWith("-replaced", StringComparison.Ordinal));
    }

    /// <summary>Partitions open before their topics are known. Until then the guarantees of sync are kept.</summary>
    [Fact]
    public async Task Flush_requirement_applies_before_the_configuration_is_known()
    {
        await using var partition = await ReplicatedPartition.StartAsync(Config);
        await FillAsync(partition);
        Assert.True(partition.LogOf(2).Marks.CountedOnlyFlushed);
        await partition[2].StopAsync();
        var spec = partition.Cluster.Specs[ReplicatedPartition.Key];
        partition.Cluster.Specs.Clear();
        await partition[2].StartAsync();
        partition.Cluster.Specs[ReplicatedPartition.Key] = spec;
        Assert.Equal(FlushPolicy.Sync, partition.ReplicaOf(2).Partition.Config.FlushPolicy);
        partition.ReplicaOf(2).Partition.UpdateConfig(TopicConfig.Default);
        Assert.Equal(FlushPolicy.None, partition.ReplicaOf(2).Partition.Config.FlushPolicy);
        Assert.False(partition.LogOf(2).Marks.CountedOnlyFlushed);
    }

    private static async Task FillAsync(ReplicatedPartition partition)
    {
        await partition.LeadAsync(1);
        await partition.InSyncAsync(3);
        for (var i = 0; i < 60; i++)
            await partition.AppendAsync(new string('v', 100));
        await partition.AllTheSameAsync();
    }

    private static async Task RepairedAsync(ReplicatedPartition partition, int broker, ReplicaIdentity before)
    {
        await ReplicatedPartition.Until(() => partition.State.Isr.Any(m => m.Broker == broker && m != before),
            () => partition.State.ToString());
        await partition.InSyncAsync(3);
        await partition.AppendAsync("after");
        await partition.AllTheSameAsync();
        Assert.Contains(partition[broker].Files.ListDirectories(Path.Combine(partition[broker].Data, "logs")),
            name => name.EndsWith("-replaced", StringComparison.Ordinal));
    }

    private static string PathOf(ReplicatedPartition partition, int broker) => Path.Combine(partition[broker].Data, "logs", "t-0");

    // On the disk: the page is read from there again.
    private static void Flip(ReplicatedPartition partition, int broker, string name, long position)
    {
        ((MemoryFileSystem)partition[broker].Files).HoldsPages = false;
        using var file = partition[broker].Files.Open(Path.Combine(PathOf(partition, broker), name), FileOpening.ReadWrite);
        Span<byte> one = stackalloc byte[1];
        file.Read(one, position);
        one[0] ^= 0x40;
        file.Write(one, position);
    }
}
