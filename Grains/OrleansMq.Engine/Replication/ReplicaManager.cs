using System.Diagnostics.CodeAnalysis;
using OrleansMq.Brokers;
using OrleansMq.Partitions;

namespace OrleansMq.Replication;

/// <summary>Times and bounds of replication.</summary>
public sealed record ReplicationOptions
{
    /// <summary>How long a follower may be unreachable or behind before it leaves the ISR: 10 seconds, Kafka's <c>replica.lag.time.max.ms</c> has 30.</summary>
    public TimeSpan ReplicaLagTimeMax { get; init; } = TimeSpan.FromSeconds(10);
    /// <summary>For how long an acknowledgement of the in-sync followers proves leadership: 2 seconds.</summary>
    public TimeSpan LeaderLease { get; init; } = TimeSpan.FromSeconds(2);
    /// <summary>How long an append with <c>acks=all</c> waits for its replicas before its outcome is called unknown: 30 seconds.</summary>
    public TimeSpan AppendTimeout { get; init; } = TimeSpan.FromSeconds(30);
}

/// <summary>All replicas of one broker: opens them over the broker's partitions, carries their messages, and keeps time for them. Thread safe.</summary>
public sealed class ReplicaManager : IAsyncDisposable
{
    /// <summary>Takes up the partitions that are in the store.</summary>
    public ReplicaManager(PartitionStore store, BrokerOptions options, ReplicationOptions replication, IReplicationHost host) { }

    /// <summary>All replicas.</summary>
    public IReadOnlyCollection<Replica> Replicas => [];

    /// <summary>Begins to answer, to push and to keep time.</summary>
    public void Start() { }

    /// <summary>The replica, if this broker holds it.</summary>
    public bool TryGet(ReplicaKey key, [NotNullWhen(true)] out Replica? replica)
    {
        replica = null;
        return false;
    }

    /// <summary>The replica; made where there is none.</summary>
    /// <exception cref="BrokerException"><see cref="ErrorCode.KafkaStorageError"/>.</exception>
    public Replica GetOrCreate(ReplicaKey key, ReplicaSpec spec) => throw new NotImplementedException();

    /// <summary>Ends a replica and frees its disk: its topic was deleted, or it was reassigned away. One that is gone is fine.</summary>
    /// <exception cref="BrokerException"><see cref="ErrorCode.KafkaStorageError"/>.</exception>
    public Task DropAsync(ReplicaKey key) => throw new NotImplementedException();

    /// <summary>Takes a bundle that another broker's <see cref="IReplicationHost.DeliverAsync"/> carries; returns the answers.</summary>
    public ValueTask<ReadOnlyMemory<byte>> ReceiveAsync(int fromBroker, ReadOnlyMemory<byte> bundle) => throw new NotImplementedException();

    /// <summary>Somebody was declared dead or came back: leaders look at their ISR at once.</summary>
    public void OnMembershipChanged() { }

    /// <summary>Stops all roles at once; the partitions stay open.</summary>
    public ValueTask DisposeAsync() => ValueTask.CompletedTask;
}
