using OrleansMq.Api;

namespace OrleansMq.Access;

/// <summary>The administration of the cluster as one session may use it: looking needs <see cref="AccessOperation.Describe"/> of the
/// cluster, every change <see cref="AccessOperation.Alter"/>. Thread safe.</summary>
internal sealed class SessionAdministration(IBroker broker, SessionAccess session) : IClusterAdministration
{
    /// <inheritdoc/>
    public ValueTask<PartitionReassignment> ReassignPartitionAsync(TopicPartition partition, IReadOnlyList<int> replicas,
        CancellationToken cancellationToken = default) =>
        AlterAsync(cluster => cluster.ReassignPartitionAsync(partition, replicas, cancellationToken));

    /// <inheritdoc/>
    public ValueTask<IReadOnlyList<PartitionReassignment>> ListReassignmentsAsync(CancellationToken cancellationToken = default) =>
        DescribeAsync(cluster => cluster.ListReassignmentsAsync(cancellationToken));

    /// <inheritdoc/>
    public ValueTask CancelReassignmentAsync(TopicPartition partition, CancellationToken cancellationToken = default) =>
        AlterAsync(cluster => cluster.CancelReassignmentAsync(partition, cancellationToken));

    /// <inheritdoc/>
    public ValueTask<IReadOnlyList<LeaderElection>> ElectPreferredLeadersAsync(string? topic = null, int? partition = null,
        CancellationToken cancellationToken = default) =>
        AlterAsync(cluster => cluster.ElectPreferredLeadersAsync(topic, partition, cancellationToken));

    /// <inheritdoc/>
    public ValueTask<LeaderElection> ElectUncleanAsync(TopicPartition partition, int? broker = null,
        CancellationToken cancellationToken = default) =>
        AlterAsync(cluster => cluster.ElectUncleanAsync(partition, broker, cancellationToken));

    /// <inheritdoc/>
    public ValueTask<RebalancePlan> PlanRebalanceAsync(CancellationToken cancellationToken = default) =>
        AlterAsync(cluster => cluster.PlanRebalanceAsync(cancellationToken));

    /// <inheritdoc/>
    public ValueTask<RebalanceStatus> ExecuteRebalanceAsync(string planId, RebalanceThrottle? throttle = null,
        CancellationToken cancellationToken = default) =>
        AlterAsync(cluster => cluster.ExecuteRebalanceAsync(planId, throttle, cancellationToken));

    /// <inheritdoc/>
    public ValueTask<RebalanceStatus?> GetRebalanceAsync(CancellationToken cancellationToken = default) =>
        DescribeAsync(cluster => cluster.GetRebalanceAsync(cancellationToken));

    /// <inheritdoc/>
    public ValueTask<RebalanceStatus> CancelRebalanceAsync(CancellationToken cancellationToken = default) =>
        AlterAsync(cluster => cluster.CancelRebalanceAsync(cancellationToken));

    /// <inheritdoc/>
    public ValueTask SetAutoRebalanceAsync(bool enabled, CancellationToken cancellationToken = default) =>
        AlterAsync(cluster => cluster.SetAutoRebalanceAsync(enabled, cancellationToken));

    /// <inheritdoc/>
    public ValueTask<RebalanceStatus> DrainBrokerAsync(int broker, CancellationToken cancellationToken = default) =>
        AlterAsync(cluster => cluster.DrainBrokerAsync(broker, cancellationToken));

    /// <inheritdoc/>
    public ValueTask ResumeBrokerAsync(int broker, CancellationToken cancellationToken = default) =>
        AlterAsync(cluster => cluster.ResumeBrokerAsync(broker, cancellationToken));

    /// <inheritdoc/>
    public ValueTask RemoveBrokerAsync(int broker, CancellationToken cancellationToken = default) =>
        AlterAsync(cluster => cluster.RemoveBrokerAsync(broker, cancellationToken));

    private async ValueTask<T> DescribeAsync<T>(Func<IClusterAdministration, ValueTask<T>> look)
    {
        session.Demand(AccessOperation.Describe, ResourceType.Cluster);
        return await look(broker.Administration).ConfigureAwait(false);
    }

    private async ValueTask<T> AlterAsync<T>(Func<IClusterAdministration, ValueTask<T>> change)
    {
        session.Demand(AccessOperation.Alter, ResourceType.Cluster);
        return await change(broker.Administration).ConfigureAwait(false);
    }

    private async ValueTask AlterAsync(Func<IClusterAdministration, ValueTask> change)
    {
        session.Demand(AccessOperation.Alter, ResourceType.Cluster);
        await change(broker.Administration).ConfigureAwait(false);
    }
}
