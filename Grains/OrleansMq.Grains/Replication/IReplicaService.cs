using Orleans.Services;
using OrleansMq.Grains.Topics;

namespace OrleansMq.Grains.Replication;

/// <summary>
/// Requests between the brokers of a cluster, addressed by silo: without a directory or an activation. Any call may be lost, duplicated, or
/// reordered; all are idempotent.
/// </summary>
[Alias("omq.IReplicaService")]
internal interface IReplicaService : IGrainService
{
    /// <summary>Delivers messages of another broker's replicas to the replicas of this one; returns the answers. Both are in the engine's
    /// binary format.</summary>
    /// <param name="fromBroker">The sender.</param>
    /// <param name="bundle">Not copied, since it may be several MB. Its bytes must not change until the call is answered, or ever again if
    /// it fails.</param>
    [Alias("Deliver"), ResponseTimeout("00:00:10")]
    Task<ReadOnlyMemory<byte>> DeliverAsync(int fromBroker, [Immutable] ReadOnlyMemory<byte> bundle);

    /// <summary>Returns the descriptions of replicas of this broker, without those that it does not have.</summary>
    [Alias("Report"), ResponseTimeout("00:00:05")]
    Task<ReplicaReportRecord[]> ReportAsync(ReplicaKeyRecord[] keys);

    /// <summary>Opens a replica, creating it if needed; when this returns, a leader can push to it.</summary>
    /// <exception cref="BrokerException"><see cref="ErrorCode.KafkaStorageError"/>.</exception>
    [Alias("OpenReplica")]
    Task OpenReplicaAsync(ReplicaKeyRecord key, string topic, Dictionary<string, string> configs);

    /// <summary>Drops a replica and frees its disk space. A missing replica is not an error.</summary>
    /// <exception cref="BrokerException"><see cref="ErrorCode.KafkaStorageError"/>.</exception>
    [Alias("DropReplica")]
    Task DropReplicaAsync(ReplicaKeyRecord key);

    /// <summary>Pushes the cluster's current metadata to <see cref="IClusterImageSink"/>.</summary>
    /// <param name="image">A delta or a whole image, which contains its version.</param>
    /// <returns>The version that this broker has afterwards.</returns>
    [Alias("PushImage"), ResponseTimeout("00:00:05")]
    Task<long> PushImageAsync(ReadOnlyMemory<byte> image);

    /// <summary>Pushes the virtual hosts of AMQP.</summary>
    /// <param name="delta">A delta or a whole image, as JSON, which contains its version.</param>
    /// <returns>The version that this broker has afterwards.</returns>
    [Alias("PushVirtualHosts"), ResponseTimeout("00:00:05")]
    Task<long> PushVirtualHostsAsync(ReadOnlyMemory<byte> delta);

    /// <summary>Takes no virtual hosts of an owner before this epoch any more.</summary>
    /// <returns>The virtual hosts that this broker has, as a whole image; empty for none.</returns>
    [Alias("FenceVirtualHosts"), ResponseTimeout("00:00:05")]
    Task<ReadOnlyMemory<byte>> FenceVirtualHostsAsync(int epoch);

    /// <summary>Gives a message to a gateway.</summary>
    /// <param name="gateway">The gateway's name.</param>
    /// <param name="message">The message.</param>
    /// <returns>The gateway's answer; false if this broker has no such gateway.</returns>
    [Alias("TellGateway"), ResponseTimeout("00:00:05")]
    Task<bool> TellGatewayAsync(string gateway, [Immutable] ReadOnlyMemory<byte> message);

    /// <summary>Asks a gateway.</summary>
    /// <param name="gateway">The gateway's name.</param>
    /// <param name="question">The question.</param>
    /// <returns>The gateway's answer; null if this broker has no such gateway.</returns>
    [Alias("AskGateway"), ResponseTimeout("00:00:10")]
    Task<ReadOnlyMemory<byte>?> AskGatewayAsync(string gateway, [Immutable] ReadOnlyMemory<byte> question);

    /// <summary>Chooses the brokers of new partitions: <see cref="IClusterOwnerGrain.PlaceAsync"/> of the controller, also while its
    /// activation deactivates.</summary>
    /// <exception cref="BrokerException"><see cref="ErrorCode.BrokerNotAvailable"/>: this broker is not the controller.
    /// <see cref="ErrorCode.InvalidReplicationFactor"/>.</exception>
    [Alias("Place"), ResponseTimeout(OwnerTimes.Call)]
    Task<int[][]> PlaceAsync(int count, int replicationFactor);

    /// <summary>Adds a topic, or changes of it, to the metadata: <see cref="IClusterOwnerGrain.AnnounceAsync"/> of the controller, also
    /// while its activation deactivates.</summary>
    /// <exception cref="BrokerException"><see cref="ErrorCode.BrokerNotAvailable"/>: this broker is not the controller.</exception>
    [Alias("Announce"), ResponseTimeout(OwnerTimes.Call)]
    Task AnnounceAsync(TopicRecord topic, int first, int[][] replicas);
}
