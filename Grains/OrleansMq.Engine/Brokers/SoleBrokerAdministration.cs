using OrleansMq.Api;

namespace OrleansMq.Brokers;

/// <summary>The administration of a cluster that is one broker by design: there is nobody to move anything to.</summary>
internal sealed class SoleBrokerAdministration : IClusterAdministration
{
    private SoleBrokerAdministration() { }

    /// <summary>The one there is.</summary>
    public static SoleBrokerAdministration Instance { get; } = new();

    /// <inheritdoc/>
    public ValueTask<PartitionReassignment> ReassignPartitionAsync(TopicPartition partition, IReadOnlyList<int> replicas,
        CancellationToken cancellationToken) =>
        Refuse<PartitionReassignment>($"Partition {partition} cannot be moved");

    /// <inheritdoc/>
    public ValueTask<IReadOnlyList<PartitionReassignment>> ListReassignmentsAsync(CancellationToken cancellationToken) => new([]);

    /// <inheritdoc/>
    public ValueTask CancelReassignmentAsync(TopicPartition partition, CancellationToken cancellationToken) =>
        ValueTask.FromException(Refusal($"Partition {partition} does not move"));

    /// <inheritdoc/>
    public ValueTask<IReadOnlyList<LeaderElection>> ElectPreferredLeadersAsync(string? topic, int? partition,
        CancellationToken cancellationToken) =>
        Refuse<IReadOnlyList<LeaderElection>>("No other leader can be elected");

    /// <inheritdoc/>
    public ValueTask<LeaderElection> ElectUncleanAsync(TopicPartition partition, int? broker, CancellationToken cancellationToken) =>
        Refuse<LeaderElection>($"Partition {partition} can have no other leader");

    /// <inheritdoc/>
    public ValueTask<RebalancePlan> PlanRebalanceAsync(CancellationToken cancellationToken) =>
        Refuse<RebalancePlan>("Nothing can be rebalanced");

    /// <inheritdoc/>
    public ValueTask<RebalanceStatus> ExecuteRebalanceAsync(string planId, RebalanceThrottle? throttle,
        CancellationToken cancellationToken) =>
        Refuse<RebalanceStatus>("Nothing can be rebalanced");

    /// <inheritdoc/>
    public ValueTask<RebalanceStatus?> GetRebalanceAsync(CancellationToken cancellationToken) => new((RebalanceStatus?)null);

    /// <inheritdoc/>
    public ValueTask<RebalanceStatus> CancelRebalanceAsync(CancellationToken cancellationToken) =>
        Refuse<RebalanceStatus>("No rebalance runs");

    /// <inheritdoc/>
    public ValueTask SetAutoRebalanceAsync(bool enabled, CancellationToken cancellationToken) =>
        ValueTask.FromException(Refusal("Nothing can be rebalanced"));

    /// <inheritdoc/>
    public ValueTask<RebalanceStatus> DrainBrokerAsync(int broker, CancellationToken cancellationToken) =>
        Refuse<RebalanceStatus>($"Broker {broker} cannot be drained");

    /// <inheritdoc/>
    public ValueTask ResumeBrokerAsync(int broker, CancellationToken cancellationToken) =>
        ValueTask.FromException(Refusal($"Broker {broker} is not being drained"));

    /// <inheritdoc/>
    public ValueTask RemoveBrokerAsync(int broker, CancellationToken cancellationToken) =>
        ValueTask.FromException(Refusal($"Broker {broker} cannot be removed"));

    private static ValueTask<T> Refuse<T>(string what) => ValueTask.FromException<T>(Refusal(what));

    private static BrokerException Refusal(string what) => new(ErrorCode.InvalidRequest,
        $"{what}: this broker is the only one and replicates nothing. Start brokers as a cluster, with --postgres, to have replicas.");
}
