using Orleans.Services;

namespace OrleansMq.Grains.Replication;

/// <summary>
/// What the brokers of a cluster ask of each other, addressed by silo: no directory, no activation in between. Any call may be lost,
/// doubled, or overtaken by another; each may be sent again.
/// </summary>
[Alias("omq.IReplicaService")]
internal interface IReplicaService : IGrainService
{
    /// <summary>Messages of another broker's replicas to the replicas of this one; returns the answers. Both are the engine's own
    /// bytes.</summary>
    /// <param name="fromBroker">Who sends.</param>
    /// <param name="bundle">Not copied, since it may be several MB: its bytes stay as they are until the call has been answered, or for
    /// ever where it fails.</param>
    [Alias("Deliver"), ResponseTimeout("00:00:10")]
    Task<ReadOnlyMemory<byte>> DeliverAsync(int fromBroker, [Immutable] ReadOnlyMemory<byte> bundle);

    /// <summary>How replicas of this broker describe themselves; those that are not here are left out.</summary>
    [Alias("Report"), ResponseTimeout("00:00:05")]
    Task<ReplicaReportRecord[]> ReportAsync(ReplicaKeyRecord[] keys);

    /// <summary>Makes a replica where there is none; when it returns a leader can push to it.</summary>
    /// <exception cref="BrokerException"><see cref="ErrorCode.KafkaStorageError"/>.</exception>
    [Alias("OpenReplica")]
    Task OpenReplicaAsync(ReplicaKeyRecord key, string topic, Dictionary<string, string> configs);

    /// <summary>Ends a replica and frees its disk; one that is gone is fine.</summary>
    /// <exception cref="BrokerException"><see cref="ErrorCode.KafkaStorageError"/>.</exception>
    [Alias("DropReplica")]
    Task DropReplicaAsync(ReplicaKeyRecord key);

    /// <summary>The cluster's metadata as it is now, for <see cref="IClusterImageSink"/>.</summary>
    /// <param name="image">Versioned by what is in it.</param>
    /// <returns>The version that this broker has afterwards.</returns>
    [Alias("PushImage"), ResponseTimeout("00:00:05")]
    Task<long> PushImageAsync(ReadOnlyMemory<byte> image);
}
