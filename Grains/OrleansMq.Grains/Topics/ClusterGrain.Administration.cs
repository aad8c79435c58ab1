using OrleansMq.Api;

namespace OrleansMq.Grains.Topics;

// Administration of brokers and replicas, for callers of the grain.
internal sealed partial class ClusterGrain
{
    /// <inheritdoc/>
    public Task<PartitionReassignment> ReassignPartitionAsync(string topic, int partition, int[] replicas,
        CancellationToken cancellationToken) =>
        _administration.ReassignPartitionAsync(new TopicPartition(topic, partition), replicas, cancellationToken).AsTask();

    /// <inheritdoc/>
    public async Task<PartitionReassignment[]> ListReassignmentsAsync(CancellationToken cancellationToken) =>
        [.. await _administration.ListReassignmentsAsync(cancellationToken)];

    /// <inheritdoc/>
    public Task CancelReassignmentAsync(string topic, int partition, CancellationToken cancellationToken) =>
        _administration.CancelReassignmentAsync(new TopicPartition(topic, partition), cancellationToken).AsTask();

    /// <inheritdoc/>
    public async Task<LeaderElection[]> ElectPreferredLeadersAsync(string? topic, int? partition, CancellationToken cancellationToken) =>
        [.. await _administration.ElectPreferredLeadersAsync(topic, partition, cancellationToken)];

    /// <inheritdoc/>
    public Task<LeaderElection> ElectUncleanAsync(string topic, int partition, int? broker, CancellationToken cancellationToken) =>
        _administration.ElectUncleanAsync(new TopicPartition(topic, partition), broker, cancellationToken).AsTask();

    /// <inheritdoc/>
    public Task<RebalancePlan> PlanRebalanceAsync(CancellationToken cancellationToken) =>
        _administration.PlanRebalanceAsync(cancellationToken).AsTask();

    /// <inheritdoc/>
    public Task<RebalanceStatus> ExecuteRebalanceAsync(string planId, RebalanceThrottle? throttle, CancellationToken cancellationToken) =>
        _administration.ExecuteRebalanceAsync(planId, throttle, cancellationToken).AsTask();

    /// <inheritdoc/>
    public Task<RebalanceStatus?> GetRebalanceAsync(CancellationToken cancellationToken) =>
        _administration.GetRebalanceAsync(cancellationToken).AsTask();

    /// <inheritdoc/>
    public Task<RebalanceStatus> CancelRebalanceAsync(CancellationToken cancellationToken) =>
        _administration.CancelRebalanceAsync(cancellationToken).AsTask();

    /// <inheritdoc/>
    public Task SetAutoRebalanceAsync(bool enabled, CancellationToken cancellationToken) =>
        _administration.SetAutoRebalanceAsync(enabled, cancellationToken).AsTask();

    /// <inheritdoc/>
    public Task<RebalanceStatus> DrainBrokerAsync(int broker, CancellationToken cancellationToken) =>
        _administration.DrainBrokerAsync(broker, cancellationToken).AsTask();

    /// <inheritdoc/>
    public Task ResumeBrokerAsync(int broker, CancellationToken cancellationToken) =>
        _administration.ResumeBrokerAsync(broker, cancellationToken).AsTask();

    /// <inheritdoc/>
    public Task RemoveBrokerAsync(int broker, CancellationToken cancellationToken) =>
        _administration.RemoveBrokerAsync(broker, cancellationToken).AsTask();
}
