using Orleans.Concurrency;
using OrleansMq.Access;
using OrleansMq.Api;
using OrleansMq.Grains.Access;

namespace OrleansMq.Grains;

/// <summary>
/// The catalogue of the cluster: its topics and its brokers. One grain, <c>grains.GetCluster()</c>; one under another key refuses every
/// call.
/// <para>Methods throw <see cref="BrokerException"/>; its <see cref="OrleansMqException.Action"/> says whether to retry, abort or
/// give up. A <see cref="TimeoutException"/> or an Orleans exception (when a silo dies) means that the outcome is unknown. Create and
/// delete may be sent again: if the first attempt succeeded, they report <see cref="ErrorCode.TopicAlreadyExists"/> or
/// <see cref="ErrorCode.UnknownTopicOrPartition"/>.</para>
/// <para>A call that is cancelled before it has begun does nothing. One that has begun goes on, and only the wait for it ends.</para>
/// </summary>
[Alias("omq.IClusterGrain")]
public interface IClusterGrain : IGrainWithStringKey
{
    /// <summary>Creates a topic and its partitions; returns when all of them accept writes.</summary>
    /// <param name="topic">Name, number of partitions, configuration.</param>
    /// <param name="cancellationToken">Ends the wait.</param>
    /// <returns>The created topic.</returns>
    /// <exception cref="BrokerException"><see cref="ErrorCode.TopicAlreadyExists"/>, <see cref="ErrorCode.InvalidTopic"/>,
    /// <see cref="ErrorCode.InvalidPartitions"/>, <see cref="ErrorCode.InvalidReplicationFactor"/>, <see cref="ErrorCode.InvalidConfig"/>:
    /// abort. <see cref="ErrorCode.KafkaStorageError"/>: retry once there is room.</exception>
    [Alias("CreateTopic")]
    [ResponseTimeout(GrainTimes.Administration)]
    [AlwaysInterleave]
    [GrainRule(AccessOperation.Create, ResourceType.Topic, NameArgument = 0)]
    Task<TopicDescription> CreateTopicAsync(NewTopic topic, CancellationToken cancellationToken = default);

    /// <summary>Deletes a topic with all its records and frees the disk space. Once begun, the deletion completes, even after a
    /// crash.</summary>
    /// <param name="topic">The topic's name.</param>
    /// <param name="cancellationToken">Ends the wait.</param>
    /// <exception cref="BrokerException"><see cref="ErrorCode.UnknownTopicOrPartition"/>: abort.</exception>
    [Alias("DeleteTopic")]
    [ResponseTimeout(GrainTimes.Administration)]
    [AlwaysInterleave]
    [GrainRule(AccessOperation.Delete, ResourceType.Topic, NameArgument = 0)]
    Task DeleteTopicAsync(string topic, CancellationToken cancellationToken = default);

    /// <summary>Deletes a topic as <see cref="DeleteTopicAsync"/> does, if it has an id: one that was created again under the name
    /// stays.</summary>
    /// <param name="topic">The topic's name.</param>
    /// <param name="topicId">Its id.</param>
    /// <param name="cancellationToken">Ends the wait.</param>
    /// <exception cref="BrokerException"><see cref="ErrorCode.UnknownTopicOrPartition"/>, <see cref="ErrorCode.UnknownTopicId"/>:
    /// abort.</exception>
    [Alias("DeleteTopicById")]
    [ResponseTimeout(GrainTimes.Administration)]
    [AlwaysInterleave]
    [GrainRule(AccessOperation.Delete, ResourceType.Topic, NameArgument = 0)]
    Task DeleteTopicByIdAsync(string topic, Guid topicId, CancellationToken cancellationToken = default);

    /// <summary>Lists all topics by name in ordinal order, without those being created or deleted.</summary>
    [Alias("ListTopics")]
    [ResponseTimeout(GrainTimes.Administration)]
    [AlwaysInterleave]
    [FilteredList]
    Task<TopicListing[]> ListTopicsAsync(CancellationToken cancellationToken = default);

    /// <summary>Allocates a new producer id, with epoch 0, for an idempotent producer.</summary>
    /// <exception cref="BrokerException"><see cref="ErrorCode.KafkaStorageError"/>: retry.</exception>
    [Alias("InitProducerId")]
    [AlwaysInterleave]
    [GrainRule(AccessOperation.IdempotentWrite, ResourceType.Cluster)]
    Task<ProducerIdentity> InitProducerIdAsync(CancellationToken cancellationToken = default);

    /// <summary>Describes the cluster and its brokers.</summary>
    [Alias("Describe")]
    [AlwaysInterleave]
    [GrainRule(AccessOperation.Describe, ResourceType.Cluster)]
    Task<ClusterDescription> DescribeAsync(CancellationToken cancellationToken = default);

    /// <summary>See <see cref="IClusterAdministration.ReassignPartitionAsync"/>.</summary>
    /// <param name="topic">The topic's name.</param>
    /// <param name="partition">The partition's number.</param>
    /// <param name="replicas">The brokers of the new replica set, the preferred leader first.</param>
    /// <param name="cancellationToken">Ends the wait.</param>
    [Alias("ReassignPartition")]
    [AlwaysInterleave]
    [GrainRule(AccessOperation.Alter, ResourceType.Cluster)]
    Task<PartitionReassignment> ReassignPartitionAsync(string topic, int partition, int[] replicas,
        CancellationToken cancellationToken = default);

    /// <summary>See <see cref="IClusterAdministration.ListReassignmentsAsync"/>.</summary>
    [Alias("ListReassignments")]
    [AlwaysInterleave]
    [GrainRule(AccessOperation.Describe, ResourceType.Cluster)]
    Task<PartitionReassignment[]> ListReassignmentsAsync(CancellationToken cancellationToken = default);

    /// <summary>See <see cref="IClusterAdministration.CancelReassignmentAsync"/>.</summary>
    [Alias("CancelReassignment")]
    [AlwaysInterleave]
    [GrainRule(AccessOperation.Alter, ResourceType.Cluster)]
    Task CancelReassignmentAsync(string topic, int partition, CancellationToken cancellationToken = default);

    /// <summary>See <see cref="IClusterAdministration.ElectPreferredLeadersAsync"/>.</summary>
    [Alias("ElectPreferredLeaders")]
    [ResponseTimeout(GrainTimes.Administration)]
    [AlwaysInterleave]
    [GrainRule(AccessOperation.Alter, ResourceType.Cluster)]
    Task<LeaderElection[]> ElectPreferredLeadersAsync(string? topic, int? partition, CancellationToken cancellationToken = default);

    /// <summary>See <see cref="IClusterAdministration.ElectUncleanAsync"/>.</summary>
    [Alias("ElectUnclean")]
    [AlwaysInterleave]
    [GrainRule(AccessOperation.Alter, ResourceType.Cluster)]
    Task<LeaderElection> ElectUncleanAsync(string topic, int partition, int? broker, CancellationToken cancellationToken = default);

    /// <summary>See <see cref="IClusterAdministration.PlanRebalanceAsync"/>.</summary>
    [Alias("PlanRebalance")]
    [AlwaysInterleave]
    [GrainRule(AccessOperation.Alter, ResourceType.Cluster)]
    Task<RebalancePlan> PlanRebalanceAsync(CancellationToken cancellationToken = default);

    /// <summary>See <see cref="IClusterAdministration.ExecuteRebalanceAsync"/>.</summary>
    [Alias("ExecuteRebalance")]
    [AlwaysInterleave]
    [GrainRule(AccessOperation.Alter, ResourceType.Cluster)]
    Task<RebalanceStatus> ExecuteRebalanceAsync(string planId, RebalanceThrottle? throttle, CancellationToken cancellationToken = default);

    /// <summary>See <see cref="IClusterAdministration.GetRebalanceAsync"/>.</summary>
    [Alias("GetRebalance")]
    [AlwaysInterleave]
    [GrainRule(AccessOperation.Describe, ResourceType.Cluster)]
    Task<RebalanceStatus?> GetRebalanceAsync(CancellationToken cancellationToken = default);

    /// <summary>See <see cref="IClusterAdministration.CancelRebalanceAsync"/>.</summary>
    [Alias("CancelRebalance")]
    [AlwaysInterleave]
    [GrainRule(AccessOperation.Alter, ResourceType.Cluster)]
    Task<RebalanceStatus> CancelRebalanceAsync(CancellationToken cancellationToken = default);

    /// <summary>See <see cref="IClusterAdministration.SetAutoRebalanceAsync"/>.</summary>
    [Alias("SetAutoRebalance")]
    [AlwaysInterleave]
    [GrainRule(AccessOperation.Alter, ResourceType.Cluster)]
    Task SetAutoRebalanceAsync(bool enabled, CancellationToken cancellationToken = default);

    /// <summary>See <see cref="IClusterAdministration.DrainBrokerAsync"/>.</summary>
    [Alias("DrainBroker")]
    [AlwaysInterleave]
    [GrainRule(AccessOperation.Alter, ResourceType.Cluster)]
    Task<RebalanceStatus> DrainBrokerAsync(int broker, CancellationToken cancellationToken = default);

    /// <summary>See <see cref="IClusterAdministration.ResumeBrokerAsync"/>.</summary>
    [Alias("ResumeBroker")]
    [AlwaysInterleave]
    [GrainRule(AccessOperation.Alter, ResourceType.Cluster)]
    Task ResumeBrokerAsync(int broker, CancellationToken cancellationToken = default);

    /// <summary>See <see cref="IClusterAdministration.RemoveBrokerAsync"/>.</summary>
    [Alias("RemoveBroker")]
    [AlwaysInterleave]
    [GrainRule(AccessOperation.Alter, ResourceType.Cluster)]
    Task RemoveBrokerAsync(int broker, CancellationToken cancellationToken = default);
}
