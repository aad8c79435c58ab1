using OrleansMq.Replication;

namespace OrleansMq.Tests.Engine.Replicas;

/// <summary>Replicas created for their leader during the deletion of their topic: deleted files must not reappear.</summary>
public sealed class ReplicaCreationTests
{
    private static readonly ReplicaKey Key = ReplicatedPartition.Key;

    [Fact]
    public async Task Push_received_before_the_deletion_creates_no_replica_after_the_cleanup()
    {
        await using var partition = await ReplicatedPartition.StartAsync();
        var spec = partition.Cluster.Specs[Key];
        var late = partition[2];
        var asked = 0;
        IReadOnlyCollection<Replica>? cleaned = null;
        late.Spec = _ =>
        {
            // The push has just received the spec to create its replica. Then the topic is deleted, and this broker reports that it has no
            // files of it.
            if (Interlocked.Increment(ref asked) > 1)
                return null;
            cleaned = late.Manager.SettledReplicas();
            return spec;
        };
        await partition.LeadAsync(1);
        // Bundles are processed one by one: when the next push asks for its spec, the first is done.
        await ReplicatedPartition.Until(() => Volatile.Read(ref asked) > 2, () => "another push");
        Assert.Empty(cleaned!);
        Assert.Empty(late.Manager.Replicas);
        Assert.Empty(late.Files.ListDirectories(Path.Combine(late.Data, "logs")));
    }

    [Fact]
    public async Task Cleanup_sees_a_replica_in_creation_when_it_starts()
    {
        await using var partition = await ReplicatedPartition.StartAsync();
        var spec = partition.Cluster.Specs[Key];
        var broker = partition[3];
        var making = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        using var deleted = new ManualResetEventSlim();
        broker.Spec = _ =>
        {
            making.SetResult();
            deleted.Wait(ReplicatedPartition.Deadline);
            return spec; // The state before the deletion.
        };
        var made = Task.Run(() => broker.Manager.GetOrCreate(Key));
        await making.Task.WaitAsync(ReplicatedPartition.Deadline);
        var settled = Task.Run(broker.Manager.SettledReplicas);
        deleted.Set();
        Assert.Same(await made, Assert.Single(await settled));
    }

    [Fact]
    public async Task Broker_that_is_no_replica_creates_none_to_lead_it()
    {
        await using var partition = await ReplicatedPartition.StartAsync();
        partition.Cluster.Specs.Clear();
        Assert.Null(partition[1].Manager.GetOrCreate(Key));
        Assert.Empty(partition[1].Manager.Replicas);
    }

    [Fact]
    public async Task Recreated_topic_waits_until_the_deleted_one_is_gone_and_sets_nothing_aside()
    {
        await using var partition = await ReplicatedPartition.StartAsync();
        var broker = partition[1];
        partition.ReplicaOf(1);
        var again = new ReplicaKey(Guid.NewGuid(), 0);
        partition.Cluster.Specs[again] = new ReplicaSpec("t", partition.Config);
        broker.Deleted.Add(Key.TopicId);
        Assert.Equal(ErrorCode.LeaderNotAvailable, Assert.Throws<BrokerException>(() => broker.Manager.GetOrCreate(again)).Code);
        await broker.Manager.DropAsync(Key);
        Assert.Equal(again, broker.Manager.GetOrCreate(again)!.Key);
        Assert.Equal(["t-0"], broker.Files.ListDirectories(Path.Combine(broker.Data, "logs")));
    }
}
