using OrleansMq.Api;

namespace OrleansMq.Grains.Topics;

// Administration of brokers and replicas, for callers of the grain.
internal sealed partial class ClusterGrain
{
    /// <inheritdoc/>
    public Task<PartitionReassignment> ReassignPartitionAsync(string topic, int partition, int[] replicas) =>
        _administration.ReassignPartitionAsync(new TopicPartition(topic, partition), replicas).AsTask();

    /// <inheritdoc/>
    public async Task<PartitionReassignment[]> ListReassignmentsAsync() => [.. await _administration.ListReassignmentsAsync()];

    /// <inheritdoc/>
    public Task CancelReassignmentAsync(string topic, int partition) =>
        _administration.CancelReassignmentAsync(new TopicPartition(topic, partition)).AsTask();

    /// <inheritdoc/>
    public async Task<LeaderElection[]> ElectPreferredLeadersAsync(string? topic, int? partition) =>
        [.. await _administration.ElectPreferredLeadersAsync(topic, partition)];

    /// <inheritdoc/>
    public Task<LeaderElection> ElectUncleanAsync(string topic, int partition, int? broker) =>
        _administration.ElectUncleanAsync(new TopicPartition(topic, partition), broker).AsTask();

    /// <inheritdoc/>
    public Task<RebalancePlan> PlanRebalanceAsync() => _administration.PlanRebalanceAsync().AsTask();

    /// <inheritdoc/>
    public Task<RebalanceStatus> ExecuteRebalanceAsync(string planId, RebalanceThrottle? throttle) =>
        _administration.ExecuteRebalanceAsync(planId, throttle).AsTask();

    /// <inheritdoc/>
    public Task<RebalanceStatus?> GetRebalanceAsync() => _administration.GetRebalanceAsync().AsTask();

    /// <inheritdoc/>
    public Task<RebalanceStatus> CancelRebalanceAsync() => _administration.CancelRebalanceAsync().AsTask();

    /// <inheritdoc/>
    public Task SetAutoRebalanceAsync(bool enabled) => _administration.SetAutoRebalanceAsync(enabled).AsTask();

    /// <inheritdoc/>
    public Task<RebalanceStatus> DrainBrokerAsync(int broker) => _administration.DrainBrokerAsync(broker).AsTask();

    /// <inheritdoc/>
    public Task ResumeBrokerAsync(int broker) => _administration.ResumeBrokerAsync(broker).AsTask();

    /// <inheritdoc/>
    public Task RemoveBrokerAsync(int broker) => _administration.RemoveBrokerAsync(broker).AsTask();
}
