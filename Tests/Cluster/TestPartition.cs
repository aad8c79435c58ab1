using OrleansMq.Api;
using OrleansMq.Grains;
using OrleansMq.Grains.Partitions;
using OrleansMq.Grains.Replication;
using OrleansMq.Replication;

namespace OrleansMq.Tests.Cluster;

/// <summary>A partition of a <see cref="ReplicatedCluster"/>.</summary>
internal sealed class TestPartition(ReplicatedCluster cluster, ReplicaKey key, TopicPartition name)
{
    public ReplicaKey Key => key;

    public TopicPartition Name => name;

    /// <summary>Returns its grain, called from a broker.</summary>
    public IPartitionGrain Grain(int from) =>
        cluster.Get<IGrainFactory>(from).GetGrain<IPartitionGrain>(GrainKeys.Partition(key.TopicId, key.Partition));

    /// <summary>Returns its grain interface for other brokers.</summary>
    public IPartitionLeaderGrain Leader(int from) =>
        cluster.Get<IGrainFactory>(from).GetGrain<IPartitionLeaderGrain>(GrainKeys.Partition(key.TopicId, key.Partition));

    /// <summary>Returns a broker's replica; null if it holds none.</summary>
    public Replica? ReplicaOn(int broker) => cluster.Get<SiloReplicas>(broker).Manager.TryGet(key, out var replica) ? replica : null;

    /// <summary>The brokers whose replica leads.</summary>
    public int[] Leaders => [.. cluster.Running.Where(broker => ReplicaOn(broker) is { Role: ReplicaRole.Leader }).Order()];

    /// <summary>Reads the stored state.</summary>
    public async Task<StoredPartitionState> StateAsync() => (await cluster.Get<IPartitionStates>(cluster.Running.First()).ReadAsync(key))!;

    /// <summary>Appends a record once and retries until it is acknowledged. An error that is not retriable fails the test.</summary>
    public Task<long> AppendAsync(int from, string value, Acks acks = Acks.All) => AppendAsync(from, Shared.TestBatches.Once(value), acks);

    /// <summary>Appends and retries until it is acknowledged. An error that is not retriable fails the test. If the broker is gone, another
    /// one is used. A retry may store the batch again, unless it is an idempotent producer's.</summary>
    public async Task<long> AppendAsync(int from, byte[] batch, Acks acks = Acks.All)
    {
        var began = DateTime.UtcNow;
        while (true)
        {
            var result = await TryAppendAsync(cluster.Running.Contains(from) ? from : cluster.Running.First(), batch, acks);
            if (result.Error == ErrorCode.None)
                return result.BaseOffset;
            Assert.True(result.Error.Action() == ErrorAction.Retry && DateTime.UtcNow - began < Wait.Deadline,
                $"{result.Error}: {result.Message}");
            await Task.Delay(10);
        }
    }

    /// <summary>Appends once. A call without an answer is an unknown outcome, as for the broker over grains.</summary>
    public async Task<ProduceResult> TryAppendAsync(int from, byte[] batch, Acks acks = Acks.All)
    {
        try
        {
            return await Grain(from).AppendAsync(batch, acks);
        }
        catch (Exception unanswered) when (unanswered is TimeoutException or OrleansException)
        {
            return ProduceResult.Failed(ErrorCode.RequestTimedOut, unanswered.Message);
        }
    }

    /// <summary>Waits until a broker leads and all replicas are in sync.</summary>
    public Task AllInSyncAsync() => Wait.UntilAsync(() => Leaders is [var leader] && ReplicaOn(leader)?.State is { } state
        && state.Isr.Length == state.Replicas.Length, $"all replicas of {Name} in sync");

    /// <summary>Hands leadership to a broker. Under load the successor may not have caught up in time; then another broker leads and the
    /// answer asks for a retry.</summary>
    public async Task HandOverAsync(int successor)
    {
        using var deadline = new CancellationTokenSource(Wait.Deadline);
        while (true)
        {
            try
            {
                Assert.Equal(successor, await Leader(1).HandOverAsync(successor));
                return;
            }
            catch (BrokerException leads) when (leads.Code == ErrorCode.ElectionNotNeeded)
            {
                // The successor took over after the answer; the former leader may not have learned of it yet.
                await AllInSyncAsync();
                return;
            }
            catch (BrokerException notReady) when (notReady.Action == ErrorAction.Retry && !deadline.IsCancellationRequested)
            {
                await AllInSyncAsync();
            }
        }
    }

    /// <summary>Reads all records through the grain.</summary>
    public async Task<List<(long Offset, string Value)>> ReadAllAsync(int from)
    {
        var read = new List<(long Offset, string Value)>();
        var began = DateTime.UtcNow;
        while (true)
        {
            using var result = await Grain(from).ReadAsync(new PartitionRead(read.Count));
            if (result.Error != ErrorCode.None)
            {
                Assert.True(result.Error.Action() == ErrorAction.Retry && DateTime.UtcNow - began < Wait.Deadline,
                    $"{result.Error}: {result.Message}");
                await Task.Delay(10);
                continue;
            }
            if (result.Records.IsEmpty)
                return read;
            read.AddRange(Shared.TestBatches.Read(result.Records));
        }
    }
}
