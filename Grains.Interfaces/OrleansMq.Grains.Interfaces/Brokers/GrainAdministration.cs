using OrleansMq.Api;

namespace OrleansMq.Grains.Brokers;

/// <summary>The administration of brokers and replicas over the cluster's grain. Thread safe.</summary>
internal sealed class GrainAdministration(IGrainFactory grains, BrokerDeaths? deaths) : IClusterAdministration
{
    private IClusterGrain Cluster => grains.GetBrokerGrain<IClusterGrain>(GrainKeys.Cluster);

    /// <inheritdoc/>
    public ValueTask<PartitionReassignment> ReassignPartitionAsync(TopicPartition partition, IReadOnlyList<int> replicas,
        CancellationToken cancellationToken) =>
        AskAsync($"Moving partition {partition}",
            Cluster.ReassignPartitionAsync(partition.Topic, partition.Partition, [.. replicas], cancellationToken),
            cancellationToken);

    /// <inheritdoc/>
    public async ValueTask<IReadOnlyList<PartitionReassignment>> ListReassignmentsAsync(CancellationToken cancellationToken) =>
        await AskAsync("Listing the partitions that move", Cluster.ListReassignmentsAsync(cancellationToken), cancellationToken)
            .ConfigureAwait(false);

    /// <inheritdoc/>
    public ValueTask CancelReassignmentAsync(TopicPartition partition, CancellationToken cancellationToken) =>
        TellAsync($"Taking back the move of partition {partition}",
            Cluster.CancelReassignmentAsync(partition.Topic, partition.Partition, cancellationToken),
            cancellationToken);

    /// <inheritdoc/>
    public async ValueTask<IReadOnlyList<LeaderElection>> ElectPreferredLeadersAsync(string? topic, int? partition,
        CancellationToken cancellationToken) =>
        await AskAsync("Electing preferred leaders", Cluster.ElectPreferredLeadersAsync(topic, partition, cancellationToken),
            cancellationToken).ConfigureAwait(false);

    /// <inheritdoc/>
    public ValueTask<LeaderElection> ElectUncleanAsync(TopicPartition partition, int? broker, CancellationToken cancellationToken) =>
        AskAsync($"The unclean election of a leader of partition {partition}",
            Cluster.ElectUncleanAsync(partition.Topic, partition.Partition, broker, cancellationToken),
            cancellationToken);

    /// <inheritdoc/>
    public ValueTask<RebalancePlan> PlanRebalanceAsync(CancellationToken cancellationToken) =>
        AskAsync("Planning a rebalance", Cluster.PlanRebalanceAsync(cancellationToken), cancellationToken);

    /// <inheritdoc/>
    public ValueTask<RebalanceStatus> ExecuteRebalanceAsync(string planId, RebalanceThrottle? throttle,
        CancellationToken cancellationToken) =>
        AskAsync("Beginning a rebalance", Cluster.ExecuteRebalanceAsync(planId, throttle, cancellationToken), cancellationToken);

    /// <inheritdoc/>
    public ValueTask<RebalanceStatus?> GetRebalanceAsync(CancellationToken cancellationToken) =>
        AskAsync("Asking for the rebalance", Cluster.GetRebalanceAsync(cancellationToken), cancellationToken);

    /// <inheritdoc/>
    public ValueTask<RebalanceStatus> CancelRebalanceAsync(CancellationToken cancellationToken) =>
        AskAsync("Cancelling the rebalance", Cluster.CancelRebalanceAsync(cancellationToken), cancellationToken);

    /// <inheritdoc/>
    public ValueTask SetAutoRebalanceAsync(bool enabled, CancellationToken cancellationToken) =>
        TellAsync("Switching the automatic rebalance", Cluster.SetAutoRebalanceAsync(enabled, cancellationToken), cancellationToken);

    /// <inheritdoc/>
    public ValueTask<RebalanceStatus> DrainBrokerAsync(int broker, CancellationToken cancellationToken) =>
        AskAsync($"Draining broker {broker}", Cluster.DrainBrokerAsync(broker, cancellationToken), cancellationToken);

    /// <inheritdoc/>
    public ValueTask ResumeBrokerAsync(int broker, CancellationToken cancellationToken) =>
        TellAsync($"Resuming broker {broker}", Cluster.ResumeBrokerAsync(broker, cancellationToken), cancellationToken);

    /// <inheritdoc/>
    public ValueTask RemoveBrokerAsync(int broker, CancellationToken cancellationToken) =>
        TellAsync($"Removing broker {broker}", Cluster.RemoveBrokerAsync(broker, cancellationToken), cancellationToken);

    private ValueTask<T> AskAsync<T>(string what, Task<T> call, CancellationToken cancellationToken) =>
        GrainFaults.AnswerAsync(what, deaths?.AnswerAsync(call) ?? call, cancellationToken);

    private async ValueTask TellAsync(string what, Task call, CancellationToken cancellationToken)
    {
        await AskAsync(what, AnswerAsync(), cancellationToken).ConfigureAwait(false);

        async Task<bool> AnswerAsync()
        {
            await call.ConfigureAwait(false);
            return true;
        }
    }
}
