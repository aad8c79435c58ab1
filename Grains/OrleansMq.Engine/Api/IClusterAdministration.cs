namespace OrleansMq.Api;

/// <summary>
/// Administration of brokers and replicas; that of topics is in <see cref="IBroker"/>. Methods throw <see cref="BrokerException"/> and can
/// be retried. After <see cref="ErrorCode.RequestTimedOut"/> the outcome is unknown: retry. Thread-safe.
/// </summary>
public interface IClusterAdministration
{
    /// <summary>Moves a partition. New replicas catch up and join the in-sync replicas; then replicas on brokers not listed leave.
    /// Completes when the move has begun. A later call with other brokers replaces the target. The same brokers in another order change
    /// only the preferred leader.</summary>
    /// <param name="partition">The partition to move.</param>
    /// <param name="replicas">The brokers that will hold it, the preferred leader first; alive and without duplicates.</param>
    /// <param name="cancellationToken">Stops waiting.</param>
    /// <exception cref="BrokerException"><see cref="ErrorCode.UnknownTopicOrPartition"/>, <see cref="ErrorCode.InvalidReplicaAssignment"/>,
    /// <see cref="ErrorCode.LeaderNotAvailable"/>.</exception>
    ValueTask<PartitionReassignment> ReassignPartitionAsync(TopicPartition partition, IReadOnlyList<int> replicas,
        CancellationToken cancellationToken = default);

    /// <summary>Lists the partitions whose replicas are being moved, ordered by topic and number.</summary>
    ValueTask<IReadOnlyList<PartitionReassignment>> ListReassignmentsAsync(CancellationToken cancellationToken = default);

    /// <summary>Cancels a move and restores the replicas from before it.</summary>
    /// <exception cref="BrokerException"><see cref="ErrorCode.UnknownTopicOrPartition"/>, <see cref="ErrorCode.NoReassignmentInProgress"/>,
    /// <see cref="ErrorCode.LeaderNotAvailable"/>.</exception>
    ValueTask CancelReassignmentAsync(TopicPartition partition, CancellationToken cancellationToken = default);

    /// <summary>Hands leadership over to the first replica of each partition, gracefully, if that replica is in sync.</summary>
    /// <param name="topic">Null: all topics.</param>
    /// <param name="partition">Null: all partitions of the topic.</param>
    /// <param name="cancellationToken">Stops waiting.</param>
    /// <returns>One result for each partition that its first replica did not lead. A partition given explicitly always has a
    /// result.</returns>
    /// <exception cref="BrokerException"><see cref="ErrorCode.UnknownTopicOrPartition"/>; <see cref="ErrorCode.InvalidRequest"/>: a
    /// partition without a topic.</exception>
    ValueTask<IReadOnlyList<LeaderElection>> ElectPreferredLeadersAsync(string? topic = null, int? partition = null,
        CancellationToken cancellationToken = default);

    /// <summary>Makes a replica the leader although it may lack acknowledged records, which are then lost permanently. Only for a partition
    /// that has no leader and no eligible replica.</summary>
    /// <param name="partition">The partition.</param>
    /// <param name="broker">The broker whose replica becomes leader. Null: the replica that loses least, once all in-sync replicas have
    /// answered.</param>
    /// <param name="cancellationToken">Stops waiting.</param>
    /// <exception cref="BrokerException"><see cref="ErrorCode.UnknownTopicOrPartition"/>; <see cref="ErrorCode.ElectionNotNeeded"/>: it has
    /// a leader; <see cref="ErrorCode.BrokerNotAvailable"/>, <see cref="ErrorCode.EligibleLeadersNotAvailable"/>,
    /// <see cref="ErrorCode.InvalidReplicaAssignment"/>: the broker has no replica of it.</exception>
    ValueTask<LeaderElection> ElectUncleanAsync(TopicPartition partition, int? broker = null,
        CancellationToken cancellationToken = default);

    /// <summary>Computes the moves after which every broker holds and leads its share. Nothing is moved yet.</summary>
    ValueTask<RebalancePlan> PlanRebalanceAsync(CancellationToken cancellationToken = default);

    /// <summary>Starts to execute a plan. Execution continues on its own, also after the failure of a broker.</summary>
    /// <param name="planId">The id of a plan made within the last hour.</param>
    /// <param name="throttle">Limits on the speed; null for the default.</param>
    /// <param name="cancellationToken">Stops waiting.</param>
    /// <exception cref="BrokerException"><see cref="ErrorCode.InvalidRequest"/>: the plan does not exist or has expired, make a new one;
    /// <see cref="ErrorCode.ReassignmentInProgress"/>: another rebalance is running.</exception>
    ValueTask<RebalanceStatus> ExecuteRebalanceAsync(string planId, RebalanceThrottle? throttle = null,
        CancellationToken cancellationToken = default);

    /// <summary>Returns the running rebalance, or the last one; null if there was none.</summary>
    ValueTask<RebalanceStatus?> GetRebalanceAsync(CancellationToken cancellationToken = default);

    /// <summary>Stops the running rebalance. Completed moves stay, moves in progress are reverted.</summary>
    /// <exception cref="BrokerException"><see cref="ErrorCode.NoReassignmentInProgress"/>.</exception>
    ValueTask<RebalanceStatus> CancelRebalanceAsync(CancellationToken cancellationToken = default);

    /// <summary>Enables or disables that a joining broker is given its share of replicas automatically.</summary>
    ValueTask SetAutoRebalanceAsync(bool enabled, CancellationToken cancellationToken = default);

    /// <summary>Moves all leaderships, then all replicas away from a broker, and places no new ones on it. A running rebalance is planned
    /// anew. The drain is complete when the broker's <see cref="BrokerDescription.Replicas"/> is 0.</summary>
    /// <exception cref="BrokerException"><see cref="ErrorCode.BrokerIdNotRegistered"/>; <see cref="ErrorCode.InvalidReplicationFactor"/>:
    /// too few brokers would remain for a topic's replicas.</exception>
    ValueTask<RebalanceStatus> DrainBrokerAsync(int broker, CancellationToken cancellationToken = default);

    /// <summary>Ends the draining of a broker, which can then receive replicas again. Completed moves stay.</summary>
    /// <exception cref="BrokerException"><see cref="ErrorCode.BrokerIdNotRegistered"/>.</exception>
    ValueTask ResumeBrokerAsync(int broker, CancellationToken cancellationToken = default);

    /// <summary>Removes a broker permanently. It must be drained, or dead without replicas. Stop a broker that is alive first.</summary>
    /// <exception cref="BrokerException"><see cref="ErrorCode.BrokerIdNotRegistered"/>; <see cref="ErrorCode.InvalidRequest"/>: the broker
    /// is alive or holds replicas.</exception>
    ValueTask RemoveBrokerAsync(int broker, CancellationToken cancellationToken = default);
}
