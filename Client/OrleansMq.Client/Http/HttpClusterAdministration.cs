using System.Globalization;
using System.Net.Http.Json;
using OrleansMq.Api;

namespace OrleansMq.Client;

/// <summary>Administration of brokers and replicas over HTTP.</summary>
internal sealed class HttpClusterAdministration(HttpBroker broker) : IClusterAdministration
{
    private const string RebalancePath = "api/cluster/rebalance";

    /// <inheritdoc/>
    public ValueTask<PartitionReassignment> ReassignPartitionAsync(TopicPartition partition, IReadOnlyList<int> replicas,
        CancellationToken cancellationToken)
    {
        var body = new ReassignBody(replicas);
        return broker.AskAsync(HttpMethod.Post, ReassignPath(partition), () => JsonContent.Create(body, HttpJson.Default.ReassignBody),
            HttpJson.Default.PartitionReassignment, cancellationToken);
    }

    /// <inheritdoc/>
    public ValueTask<IReadOnlyList<PartitionReassignment>> ListReassignmentsAsync(CancellationToken cancellationToken) =>
        broker.AskAsync(HttpMethod.Get, "api/cluster/reassignments", null, HttpJson.Default.IReadOnlyListPartitionReassignment,
            cancellationToken);

    /// <inheritdoc/>
    public ValueTask CancelReassignmentAsync(TopicPartition partition, CancellationToken cancellationToken) =>
        broker.TellAsync(HttpMethod.Delete, ReassignPath(partition), null, cancellationToken);

    /// <inheritdoc/>
    public ValueTask<IReadOnlyList<LeaderElection>> ElectPreferredLeadersAsync(string? topic, int? partition,
        CancellationToken cancellationToken) =>
        ElectAsync(new ElectLeadersBody(HttpContract.PreferredElection, topic, partition), cancellationToken);

    /// <inheritdoc/>
    public async ValueTask<LeaderElection> ElectUncleanAsync(TopicPartition partition, int? brokerId, CancellationToken cancellationToken)
    {
        var body = new ElectLeadersBody(HttpContract.UncleanElection, partition.Topic, partition.Partition, brokerId, AcceptDataLoss: true);
        return (await ElectAsync(body, cancellationToken).ConfigureAwait(false)) is [var one]
            ? one
            : throw new BrokerException(ErrorCode.UnknownServerError,
                $"The broker did not report the result of the election for {partition}.");
    }

    /// <inheritdoc/>
    public ValueTask<RebalancePlan> PlanRebalanceAsync(CancellationToken cancellationToken) =>
        broker.AskAsync(HttpMethod.Post, RebalancePath + "/plan", null, HttpJson.Default.RebalancePlan, cancellationToken);

    /// <inheritdoc/>
    public ValueTask<RebalanceStatus> ExecuteRebalanceAsync(string planId, RebalanceThrottle? throttle, CancellationToken cancellationToken)
    {
        var body = new ExecuteRebalanceBody(planId, throttle);
        return broker.AskAsync(HttpMethod.Post, RebalancePath, () => JsonContent.Create(body, HttpJson.Default.ExecuteRebalanceBody),
            HttpJson.Default.RebalanceStatus, cancellationToken);
    }

    /// <inheritdoc/>
    public ValueTask<RebalanceStatus?> GetRebalanceAsync(CancellationToken cancellationToken) =>
        broker.LookForAsync(HttpMethod.Get, RebalancePath, HttpJson.Default.RebalanceStatus, cancellationToken);

    /// <inheritdoc/>
    public ValueTask<RebalanceStatus> CancelRebalanceAsync(CancellationToken cancellationToken) =>
        broker.AskAsync(HttpMethod.Delete, RebalancePath, null, HttpJson.Default.RebalanceStatus, cancellationToken);

    /// <inheritdoc/>
    public ValueTask SetAutoRebalanceAsync(bool enabled, CancellationToken cancellationToken)
    {
        var body = new AlterClusterBody(enabled);
        return broker.TellAsync(HttpMethod.Patch, "api/cluster", () => JsonContent.Create(body, HttpJson.Default.AlterClusterBody),
            cancellationToken);
    }

    /// <inheritdoc/>
    public ValueTask<RebalanceStatus> DrainBrokerAsync(int brokerId, CancellationToken cancellationToken) =>
        broker.AskAsync(HttpMethod.Post, BrokerPath(brokerId) + "/drain", null, HttpJson.Default.RebalanceStatus, cancellationToken);

    /// <inheritdoc/>
    public ValueTask ResumeBrokerAsync(int brokerId, CancellationToken cancellationToken) =>
        broker.TellAsync(HttpMethod.Delete, BrokerPath(brokerId) + "/drain", null, cancellationToken);

    /// <inheritdoc/>
    public ValueTask RemoveBrokerAsync(int brokerId, CancellationToken cancellationToken) =>
        broker.TellAsync(HttpMethod.Delete, BrokerPath(brokerId), null, cancellationToken);

    private ValueTask<IReadOnlyList<LeaderElection>> ElectAsync(ElectLeadersBody body, CancellationToken cancellationToken) =>
        broker.AskAsync(HttpMethod.Post, "api/leaders/elect", () => JsonContent.Create(body, HttpJson.Default.ElectLeadersBody),
            HttpJson.Default.IReadOnlyListLeaderElection, cancellationToken);

    private static string ReassignPath(TopicPartition partition) => string.Create(CultureInfo.InvariantCulture,
        $"api/partitions/{Uri.EscapeDataString(partition.Topic)}/{partition.Partition}/reassign");

    private static string BrokerPath(int brokerId) => string.Create(CultureInfo.InvariantCulture, $"api/brokers/{brokerId}");
}
