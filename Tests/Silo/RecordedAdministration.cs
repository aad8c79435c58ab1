using OrleansMq.Api;

namespace OrleansMq.Tests.Silo;

/// <summary>An administration that records its requests and has one answer for each.</summary>
public sealed class RecordedAdministration : IClusterAdministration
{
    public static readonly PartitionReassignment Moving = new("orders", 2, [1, 2, 4], [1, 2, 3, 4], [4], [3]);

    public static readonly LeaderElection Elected = new("orders", 2, 1, ErrorCode.ElectionNotNeeded, "it led before");

    public static readonly RebalancePlan Plan = new("plan-1", [new RebalanceMove("orders", 2, [1, 2, 3], [1, 2, 4], "broker 4 has none")],
        [new BrokerShare(4, 0, 1, 0, 0)], "1 partition moves");

    public static readonly RebalanceStatus Status = new("plan-1", RebalanceState.Running, "asked for", new RebalanceThrottle(2, 1000), 1, 0,
        0, [Moving],
        new DateTimeOffset(2026, 11, 20, 12, 0, 0, TimeSpan.Zero), Message: "waits for broker 4");

    /// <summary>The requests, in order.</summary>
    public List<string> Asked { get; } = [];

    /// <summary>The current rebalance.</summary>
    public RebalanceStatus? Rebalance { get; set; } = Status;

    public ValueTask<PartitionReassignment> ReassignPartitionAsync(TopicPartition partition, IReadOnlyList<int> replicas,
        CancellationToken cancellationToken) =>
        Answer($"reassign {partition} to {string.Join(',', replicas)}", Moving);

    public ValueTask<IReadOnlyList<PartitionReassignment>> ListReassignmentsAsync(CancellationToken cancellationToken) =>
        Answer<IReadOnlyList<PartitionReassignment>>("list", [Moving]);

    public ValueTask CancelReassignmentAsync(TopicPartition partition, CancellationToken cancellationToken) => Obey($"cancel {partition}");

    public ValueTask<IReadOnlyList<LeaderElection>> ElectPreferredLeadersAsync(string? topic, int? partition,
        CancellationToken cancellationToken) =>
        Answer<IReadOnlyList<LeaderElection>>($"elect preferred {topic} {partition}", [Elected]);

    public ValueTask<LeaderElection> ElectUncleanAsync(TopicPartition partition, int? broker, CancellationToken cancellationToken) =>
        Answer($"elect unclean {partition} {broker}", Elected);

    public ValueTask<RebalancePlan> PlanRebalanceAsync(CancellationToken cancellationToken) => Answer("plan", Plan);

    public ValueTask<RebalanceStatus> ExecuteRebalanceAsync(string planId, RebalanceThrottle? throttle,
        CancellationToken cancellationToken) =>
        Answer($"execute {planId} {throttle}", Status);

    public ValueTask<RebalanceStatus?> GetRebalanceAsync(CancellationToken cancellationToken) => Answer("status", Rebalance);

    public ValueTask<RebalanceStatus> CancelRebalanceAsync(CancellationToken cancellationToken) => Answer("cancel rebalance", Status);

    public ValueTask SetAutoRebalanceAsync(bool enabled, CancellationToken cancellationToken) => Obey($"auto {enabled}");

    public ValueTask<RebalanceStatus> DrainBrokerAsync(int broker, CancellationToken cancellationToken) =>
        Answer($"drain {broker}", Status);

    public ValueTask ResumeBrokerAsync(int broker, CancellationToken cancellationToken) => Obey($"resume {broker}");

    public ValueTask RemoveBrokerAsync(int broker, CancellationToken cancellationToken) => Obey($"remove {broker}");

    private ValueTask<T> Answer<T>(string question, T answer)
    {
        Asked.Add(question);
        return new ValueTask<T>(answer);
    }

    private ValueTask Obey(string order)
    {
        Asked.Add(order);
        return default;
    }
}
