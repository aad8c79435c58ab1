using Orleans.Concurrency;
using OrleansMq.Api;

namespace OrleansMq.Grains;

/// <summary>
/// The catalogue of the cluster: which topics there are, and who is in it. One grain, under the key <see cref="GrainKeys.Cluster"/>:
/// <c>grains.GetGrain&lt;IClusterGrain&gt;(GrainKeys.Cluster)</c>.
/// <para>Methods throw <see cref="BrokerException"/>; its <see cref="BrokerException.Action"/> says whether to retry, abort or give up.
/// Beyond that a call may fail with <see cref="TimeoutException"/> or an Orleans exception when a silo dies: the outcome is unknown then.
/// To create and to delete may be sent again: what was done already is reported as <see cref="ErrorCode.TopicAlreadyExists"/> or
/// <see cref="ErrorCode.UnknownTopicOrPartition"/>.</para>
/// </summary>
[Alias("omq.IClusterGrain")]
public interface IClusterGrain : IGrainWithStringKey
{
    /// <summary>Creates a topic and its partitions; returns when all of them can be written.</summary>
    /// <param name="topic">Name, number of partitions, configuration.</param>
    /// <returns>The topic as it was created.</returns>
    /// <exception cref="BrokerException"><see cref="ErrorCode.TopicAlreadyExists"/>, <see cref="ErrorCode.InvalidTopic"/>,
    /// <see cref="ErrorCode.InvalidPartitions"/>, <see cref="ErrorCode.InvalidReplicationFactor"/>, <see cref="ErrorCode.InvalidConfig"/>:
    /// abort. <see cref="ErrorCode.KafkaStorageError"/>: retry once there is room.</exception>
    [Alias("CreateTopic")]
    [ResponseTimeout(GrainTimes.Administration)]
    Task<TopicDescription> CreateTopicAsync(NewTopic topic);

    /// <summary>Deletes a topic with all its records and frees the disk. Once begun it is finished, even after a crash.</summary>
    /// <param name="topic">The topic's name.</param>
    /// <exception cref="BrokerException"><see cref="ErrorCode.UnknownTopicOrPartition"/>: abort.</exception>
    [Alias("DeleteTopic")]
    [ResponseTimeout(GrainTimes.Administration)]
    Task DeleteTopicAsync(string topic);

    /// <summary>All topics, by name in ordinal order. Those that are being created or deleted are left out.</summary>
    [Alias("ListTopics")]
    [ResponseTimeout(GrainTimes.Administration)]
    [AlwaysInterleave]
    Task<TopicListing[]> ListTopicsAsync();

    /// <summary>A producer id that was never given out before, with epoch 0, for an idempotent producer.</summary>
    /// <exception cref="BrokerException"><see cref="ErrorCode.KafkaStorageError"/>: retry.</exception>
    [Alias("InitProducerId")]
    [AlwaysInterleave]
    Task<ProducerIdentity> InitProducerIdAsync();

    /// <summary>The cluster and its brokers.</summary>
    [Alias("Describe")]
    [AlwaysInterleave]
    Task<ClusterDescription> DescribeAsync();

    /// <summary>All that the cluster knows of itself (brokers, topics, leaders, in-sync replicas), as soon as it is newer than what the
    /// caller knows; waits up to 10 seconds for that. Ask again with the version that came: so a change is heard of at once, and an
    /// unchanged cluster costs a call in ten seconds.</summary>
    /// <param name="knownVersion">The version the caller has; 0 for none.</param>
    /// <returns>A whole image as <see cref="OrleansMq.Clusters.ClusterDeltaCodec"/> writes it; nothing where none is newer, or nothing is
    /// replicated.</returns>
    [Alias("GetMetadata")]
    [AlwaysInterleave]
    Task<ReadOnlyMemory<byte>> GetMetadataAsync(long knownVersion);

    /// <summary>See <see cref="IClusterAdministration.ReassignPartitionAsync"/>.</summary>
    /// <param name="topic">The topic's name.</param>
    /// <param name="partition">The partition's number.</param>
    /// <param name="replicas">The brokers that are to hold it, the preferred leader first.</param>
    [Alias("ReassignPartition")]
    [AlwaysInterleave]
    Task<PartitionReassignment> ReassignPartitionAsync(string topic, int partition, int[] replicas);

    /// <summary>See <see cref="IClusterAdministration.ListReassignmentsAsync"/>.</summary>
    [Alias("ListReassignments")]
    [AlwaysInterleave]
    Task<PartitionReassignment[]> ListReassignmentsAsync();

    /// <summary>See <see cref="IClusterAdministration.CancelReassignmentAsync"/>.</summary>
    [Alias("CancelReassignment")]
    [AlwaysInterleave]
    Task CancelReassignmentAsync(string topic, int partition);

    /// <summary>See <see cref="IClusterAdministration.ElectPreferredLeadersAsync"/>.</summary>
    [Alias("ElectPreferredLeaders")]
    [ResponseTimeout(GrainTimes.Administration)]
    [AlwaysInterleave]
    Task<LeaderElection[]> ElectPreferredLeadersAsync(string? topic, int? partition);

    /// <summary>See <see cref="IClusterAdministration.ElectUncleanAsync"/>.</summary>
    [Alias("ElectUnclean")]
    [AlwaysInterleave]
    Task<LeaderElection> ElectUncleanAsync(string topic, int partition, int? broker);

    /// <summary>See <see cref="IClusterAdministration.PlanRebalanceAsync"/>.</summary>
    [Alias("PlanRebalance")]
    [AlwaysInterleave]
    Task<RebalancePlan> PlanRebalanceAsync();

    /// <summary>See <see cref="IClusterAdministration.ExecuteRebalanceAsync"/>.</summary>
    [Alias("ExecuteRebalance")]
    [AlwaysInterleave]
    Task<RebalanceStatus> ExecuteRebalanceAsync(string planId, RebalanceThrottle? throttle);

    /// <summary>See <see cref="IClusterAdministration.GetRebalanceAsync"/>.</summary>
    [Alias("GetRebalance")]
    [AlwaysInterleave]
    Task<RebalanceStatus?> GetRebalanceAsync();

    /// <summary>See <see cref="IClusterAdministration.CancelRebalanceAsync"/>.</summary>
    [Alias("CancelRebalance")]
    [AlwaysInterleave]
    Task<RebalanceStatus> CancelRebalanceAsync();

    /// <summary>See <see cref="IClusterAdministration.SetAutoRebalanceAsync"/>.</summary>
    [Alias("SetAutoRebalance")]
    [AlwaysInterleave]
    Task SetAutoRebalanceAsync(bool enabled);

    /// <summary>See <see cref="IClusterAdministration.DrainBrokerAsync"/>.</summary>
    [Alias("DrainBroker")]
    [AlwaysInterleave]
    Task<RebalanceStatus> DrainBrokerAsync(int broker);

    /// <summary>See <see cref="IClusterAdministration.ResumeBrokerAsync"/>.</summary>
    [Alias("ResumeBroker")]
    [AlwaysInterleave]
    Task ResumeBrokerAsync(int broker);

    /// <summary>See <see cref="IClusterAdministration.RemoveBrokerAsync"/>.</summary>
    [Alias("RemoveBroker")]
    [AlwaysInterleave]
    Task RemoveBrokerAsync(int broker);
}
