namespace OrleansMq.Api;

/// <summary>
/// Administration of brokers and replicas, beside that of topics in <see cref="IBroker"/>. Methods throw <see cref="BrokerException"/>;
/// each may be sent again. <see cref="ErrorCode.RequestTimedOut"/>: whether it was done is unknown, retry. Thread safe.
/// </summary>
public interface IClusterAdministration
{
    /// <summary>Moves a partition: those that are new catch up and join, then those that are not named leave. Complete when it has begun;
    /// sent again with other brokers, the latest word holds. The same brokers in another order change the preferred leader only.</summary>
    /// <param name="partition">Which.</param>
    /// <param name="replicas">The brokers that are to hold it, the preferred leader first: alive, none twice.</param>
    /// <param name="cancellationToken">Stops waiting.</param>
    /// <exception cref="BrokerException"><see cref="ErrorCode.UnknownTopicOrPartition"/>, <see cref="ErrorCode.InvalidReplicaAssignment"/>,
    /// <see cref="ErrorCode.LeaderNotAvailable"/>.</exception>
    ValueTask<PartitionReassignment> ReassignPartitionAsync(TopicPartition partition, IReadOnlyList<int> replicas,
        CancellationToken cancellationToken = default);

    /// <summary>The partitions that move at the moment, by topic and number.</summary>
    ValueTask<IReadOnlyList<PartitionReassignment>> ListReassignmentsAsync(CancellationToken cancellationToken = default);

    /// <summary>Takes a move back: the partition is held again by those that held it before.</summary>
    /// <exception cref="BrokerException"><see cref="ErrorCode.UnknownTopicOrPartition"/>, <see cref="ErrorCode.NoReassignmentInProgress"/>,
    /// <see cref="ErrorCode.LeaderNotAvailable"/>.</exception>
    ValueTask CancelReassignmentAsync(TopicPartition partition, CancellationToken cancellationToken = default);

    /// <summary>Hands the leadership of partitions to their first replicas, gracefully, where those are in sync.</summary>
    /// <param name="topic">Null: all topics.</param>
    /// <param name="partition">Null: all partitions of the topic.</param>
    /// <param name="cancellationToken">Stops waiting.</param>
    /// <returns>One answer for each partition that was not led by its first replica; for a partition that was named, in any case.</returns>
    /// <exception cref="BrokerException"><see cref="ErrorCode.UnknownTopicOrPartition"/>; <see cref="ErrorCode.InvalidRequest"/>: a
    /// partition without a topic.</exception>
    ValueTask<IReadOnlyList<LeaderElection>> ElectPreferredLeadersAsync(string? topic = null, int? partition = null,
        CancellationToken cancellationToken = default);

    /// <summary>Makes a replica leader although it may lack acknowledged records, which are then lost for good. Only for a partition that
    /// nobody leads and nobody may lead.</summary>
    /// <param name="partition">Which.</param>
    /// <param name="broker">Whose replica; null: the one that loses least, once all in-sync replicas have answered.</param>
    /// <param name="cancellationToken">Stops waiting.</param>
    /// <exception cref="BrokerException"><see cref="ErrorCode.UnknownTopicOrPartition"/>; <see cref="ErrorCode.ElectionNotNeeded"/>: it is
    /// led; <see cref="ErrorCode.BrokerNotAvailable"/>, <see cref="ErrorCode.EligibleLeadersNotAvailable"/>,
    /// <see cref="ErrorCode.InvalidReplicaAssignment"/>: the broker does not hold it.</exception>
    ValueTask<LeaderElection> ElectUncleanAsync(TopicPartition partition, int? broker = null,
        CancellationToken cancellationToken = default);

    /// <summary>Works out what to move so that every broker holds and leads its share. Nothing moves.</summary>
    ValueTask<RebalancePlan> PlanRebalanceAsync(CancellationToken cancellationToken = default);

    /// <summary>Begins to carry out a plan. It goes on by itself, also after the failure of a broker.</summary>
    /// <param name="planId">Of a plan that was made in the last hour.</param>
    /// <param name="throttle">How fast; null for the default.</param>
    /// <param name="cancellationToken">Stops waiting.</param>
    /// <exception cref="BrokerException"><see cref="ErrorCode.InvalidRequest"/>: there is no such plan (any more), make another;
    /// <see cref="ErrorCode.ReassignmentInProgress"/>: another one runs.</exception>
    ValueTask<RebalanceStatus> ExecuteRebalanceAsync(string planId, RebalanceThrottle? throttle = null,
        CancellationToken cancellationToken = default);

    /// <summary>The rebalance that runs, or the last one; null where there was none.</summary>
    ValueTask<RebalanceStatus?> GetRebalanceAsync(CancellationToken cancellationToken = default);

    /// <summary>Stops the rebalance that runs: what is moved stays, what is being moved is taken back.</summary>
    /// <exception cref="BrokerException"><see cref="ErrorCode.NoReassignmentInProgress"/>.</exception>
    ValueTask<RebalanceStatus> CancelRebalanceAsync(CancellationToken cancellationToken = default);

    /// <summary>Switches on or off that a broker that joins gets its share by itself.</summary>
    ValueTask SetAutoRebalanceAsync(bool enabled, CancellationToken cancellationToken = default);

    /// <summary>Moves all leaders, then all replicas away from a broker, and places no new ones on it; a rebalance that runs is planned
    /// anew. Done when the broker's <see cref="BrokerDescription.Replicas"/> is 0.</summary>
    /// <exception cref="BrokerException"><see cref="ErrorCode.BrokerIdNotRegistered"/>; <see cref="ErrorCode.InvalidReplicationFactor"/>:
    /// too few brokers would be left for a topic's replicas.</exception>
    ValueTask<RebalanceStatus> DrainBrokerAsync(int broker, CancellationToken cancellationToken = default);

    /// <summary>Takes the draining of a broker back: it gets replicas again. What was moved stays where it is.</summary>
    /// <exception cref="BrokerException"><see cref="ErrorCode.BrokerIdNotRegistered"/>.</exception>
    ValueTask ResumeBrokerAsync(int broker, CancellationToken cancellationToken = default);

    /// <summary>Forgets a broker for good: one that was drained, or that is dead and holds nothing. One that is alive is to be stopped
    /// first.</summary>
    /// <exception cref="BrokerException"><see cref="ErrorCode.BrokerIdNotRegistered"/>; <see cref="ErrorCode.InvalidRequest"/>: it is
    /// alive, or holds replicas.</exception>
    ValueTask RemoveBrokerAsync(int broker, CancellationToken cancellationToken = default);
}
