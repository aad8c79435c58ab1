using OrleansMq.Topics;

namespace OrleansMq.Replication;

/// <summary>Identifies a partition on all its brokers. The topic's id distinguishes a topic that was deleted and created again.</summary>
/// <param name="TopicId">The topic's id.</param>
/// <param name="Partition">The partition's number, from 0.</param>
internal readonly record struct ReplicaKey(Guid TopicId, int Partition)
{
    /// <inheritdoc/>
    public override string ToString() => $"{TopicId:N}/{Partition}";
}

/// <summary>A partition's stored state.</summary>
/// <param name="State">The state.</param>
/// <param name="ETag">Changes with every write.</param>
internal sealed record StoredPartitionState(PartitionState State, string ETag);

/// <summary>What a replica is created with.</summary>
/// <param name="Topic">The topic's name.</param>
/// <param name="Config">The topic's effective configuration.</param>
internal sealed record ReplicaSpec(string Topic, TopicConfig Config);

/// <summary>
/// What the replicas of one broker need of their cluster: the store of partition states, a transport to the other brokers, and membership.
/// The silo implements it over Orleans, tests in memory. Thread safe.
/// </summary>
internal interface IReplicationHost
{
    /// <summary>Reads a partition's state; null if none is stored. Any exception: not known.</summary>
    Task<StoredPartitionState?> ReadStateAsync(ReplicaKey key, CancellationToken cancellationToken);

    /// <summary>Writes a partition's state if the stored one still has <paramref name="etag"/>; returns the new ETag.</summary>
    /// <exception cref="State.StateConflictException">Another state is stored. After any other exception the outcome is
    /// unknown.</exception>
    Task<string> WriteStateAsync(ReplicaKey key, PartitionState state, string etag, CancellationToken cancellationToken);

    /// <summary>Delivers a bundle of messages to the replicas of another broker (its <see cref="ReplicaManager.ReceiveAsync"/>) and returns
    /// the answers. It may fail, and both bundles may be lost.</summary>
    /// <param name="broker">The receiver.</param>
    /// <param name="bundle">Must not change until the task completes, or ever again if it fails.</param>
    /// <param name="cancellationToken">Cancels the call.</param>
    Task<ReadOnlyMemory<byte>> DeliverAsync(int broker, ReadOnlyMemory<byte> bundle, CancellationToken cancellationToken);

    /// <summary>Whether a broker is not declared dead. May be wrong for a while.</summary>
    bool IsAlive(int broker);

    /// <summary>Whether a broker is alive and not stopping. A stopping broker leaves the ISR while its replicas still answer, so that no
    /// append waits for them once they are gone. May be wrong for a while.</summary>
    bool IsStaying(int broker) => IsAlive(broker);

    /// <summary>Returns what to create a missing replica with, to lead or for a leader that pushes to it. Null if this broker is not to
    /// hold it or does not know of it yet. Called under a lock of the <see cref="ReplicaManager"/>: must neither block nor call
    /// back.</summary>
    ReplicaSpec? FindSpec(ReplicaKey key);

    /// <summary>Whether a topic is known to be deleted, so that its replicas here are about to be dropped. Called like
    /// <see cref="FindSpec"/>.</summary>
    bool IsDeleted(Guid topicId) => false;

    /// <summary>Notifies that a replica of this broker leads, has lost leadership, or changed its ISR, ELR or replica set. Ordered for each
    /// replica, outside any lock; must not block.</summary>
    void OnLeadershipChanged(Replica replica);
}
