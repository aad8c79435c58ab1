using OrleansMq.Replication;

namespace OrleansMq.Grains.Replication;

/// <summary>Takes the cluster's metadata that is pushed to this silo. Thread safe.</summary>
internal interface IClusterImageSink
{
    /// <summary>Takes it, unless it has a newer one, or what came before it is missing.</summary>
    /// <returns>The version it has afterwards.</returns>
    Task<long> AcceptAsync(ReadOnlyMemory<byte> image);
}

/// <summary>What the cluster's metadata says of a partition to the broker that is to hold it. Thread safe.</summary>
internal interface IReplicaSpecs
{
    /// <summary>With what to make a replica; null where this broker is not to hold it, or does not know of it (yet).</summary>
    ReplicaSpec? Find(ReplicaKey key);

    /// <summary>Whether a topic is known to be deleted, so that what is here of it is about to go.</summary>
    bool IsDeleted(Guid topicId);
}

/// <summary>Is told what changed of a partition that this broker leads, or led. Thread safe; must not block.</summary>
internal interface ILeadershipReports
{
    /// <summary>The replica leads, leads no more, or its ISR, ELR or replicas changed. In order for one replica.</summary>
    void Report(Replica replica);
}

/// <summary>Gives leaderships away before a silo stops.</summary>
internal interface ILeadershipHandover
{
    /// <summary>Takes no leadership from now on, and hands over all there are. Returns when none is left, or at the deadline.</summary>
    Task HandOverAllAsync(TimeSpan deadline);
}
