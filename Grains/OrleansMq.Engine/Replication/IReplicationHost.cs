using OrleansMq.Topics;

namespace OrleansMq.Replication;

/// <summary>A partition wherever it is replicated: by the topic's id, so that a topic deleted and created again is another one.</summary>
/// <param name="TopicId">The topic's id.</param>
/// <param name="Partition">The partition's number, from 0.</param>
public readonly record struct ReplicaKey(Guid TopicId, int Partition)
{
    /// <inheritdoc/>
    public override string ToString() => $"{TopicId:N}/{Partition}";
}

/// <summary>A partition's state as it is stored.</summary>
/// <param name="State">What is stored.</param>
/// <param name="ETag">Changes with every write.</param>
public sealed record StoredPartitionState(PartitionState State, string ETag);

/// <summary>What a replica is made with.</summary>
/// <param name="Topic">The topic's name.</param>
/// <param name="Config">The topic's configuration in force.</param>
public sealed record ReplicaSpec(string Topic, TopicConfig Config);

/// <summary>
/// What the replicas of one broker need of the cluster around them: the store of partition states, a way to the other brokers, and who is
/// alive. Implemented over Orleans by the silo, and in memory by tests. Thread safe.
/// </summary>
public interface IReplicationHost
{
    /// <summary>Reads a partition's state; null where none is stored. Any exception: not known.</summary>
    Task<StoredPartitionState?> ReadStateAsync(ReplicaKey key, CancellationToken cancellationToken);

    /// <summary>Writes a partition's state if what is stored still has <paramref name="etag"/>; returns the new etag.</summary>
    /// <exception cref="State.StateConflictException">Something else is stored. Any other exception: whether it was stored is not
    /// known.</exception>
    Task<string> WriteStateAsync(ReplicaKey key, PartitionState state, string etag, CancellationToken cancellationToken);

    /// <summary>Carries a bundle of messages to the replicas of another broker (its <see cref="ReplicaManager.ReceiveAsync"/>) and returns
    /// what that answers. It may fail, and both may be lost.</summary>
    /// <param name="broker">Where to.</param>
    /// <param name="bundle">Not changed until the task completes, nor ever after where it fails.</param>
    /// <param name="cancellationToken">Gives it up.</param>
    Task<ReadOnlyMemory<byte>> DeliverAsync(int broker, ReadOnlyMemory<byte> bundle, CancellationToken cancellationToken);

    /// <summary>Whether a broker is not declared dead. May be wrong for a while.</summary>
    bool IsAlive(int broker);

    /// <summary>Whether a broker is alive and does not stop: one that stops leaves the ISR while its replicas still answer, so that nobody
    /// waits for them when they are gone. May be wrong for a while.</summary>
    bool IsStaying(int broker) => IsAlive(broker);

    /// <summary>With what to make a replica that is not here, for a leader that pushes to it or to lead; null where this broker is not to
    /// hold it, or does not know of it (yet). Called under a lock of the <see cref="ReplicaManager"/>: must neither block nor call
    /// back.</summary>
    ReplicaSpec? FindSpec(ReplicaKey key);

    /// <summary>Whether a topic is known to be deleted, so that somebody is about to drop what is here of it. Called as
    /// <see cref="FindSpec"/> is.</summary>
    bool IsDeleted(Guid topicId) => false;

    /// <summary>A replica of this broker leads, leads no more, or its ISR, ELR or replicas changed. Called in order for one replica, on no
    /// lock; must not block.</summary>
    void OnLeadershipChanged(Replica replica);
}
