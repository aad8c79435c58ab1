using OrleansMq.Replication;

namespace OrleansMq.Grains.Replication;

/// <summary>Receives the cluster's metadata that is pushed to this silo. Thread safe.</summary>
internal interface IClusterImageSink
{
    /// <summary>Applies the metadata, unless this silo has a newer version or misses the one before it.</summary>
    /// <returns>The version it has afterwards.</returns>
    Task<long> AcceptAsync(ReadOnlyMemory<byte> image);
}

/// <summary>What the cluster's metadata says of a partition to the broker that holds it. Thread safe.</summary>
internal interface IReplicaSpecs
{
    /// <summary>Finds what a replica is created with; null if this broker does not hold it or does not know of it yet.</summary>
    ReplicaSpec? Find(ReplicaKey key);

    /// <summary>Whether a topic is known to be deleted, so that its replicas here are about to be deleted.</summary>
    bool IsDeleted(Guid topicId);
}

/// <summary>Receives changes of partitions that this broker leads or has led. Thread safe; must not block.</summary>
internal interface ILeadershipReports
{
    /// <summary>Reports that the replica leads, has lost leadership, or changed its ISR, ELR or replica set. Ordered for each
    /// replica.</summary>
    void Report(Replica replica);
}

/// <summary>Hands leaderships over before a silo stops.</summary>
internal interface ILeadershipHandover
{
    /// <summary>Refuses new leaderships and hands all existing ones over. Returns when none is left, or at the deadline.</summary>
    Task HandOverAllAsync(TimeSpan deadline);
}
