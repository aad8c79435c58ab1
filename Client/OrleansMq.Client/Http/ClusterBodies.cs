using OrleansMq.Api;

namespace OrleansMq.Client;

/// <summary>The body of <c>PATCH /api/cluster</c>.</summary>
/// <param name="AutoRebalance">Whether a joining broker is given its share of replicas automatically; null leaves it unchanged.</param>
internal sealed record AlterClusterBody(bool? AutoRebalance = null);

/// <summary>The body of <c>POST /api/partitions/{topic}/{partition}/reassign</c>.</summary>
/// <param name="Replicas">The brokers that will hold it, the preferred leader first.</param>
internal sealed record ReassignBody(IReadOnlyList<int> Replicas);

/// <summary>The body of <c>POST /api/leaders/elect</c>.</summary>
/// <param name="Type"><see cref="HttpContract.PreferredElection"/> or <see cref="HttpContract.UncleanElection"/>.</param>
/// <param name="Topic">The topic. For preferred leaders, null means all topics.</param>
/// <param name="Partition">The partition. For preferred leaders, null means all partitions of the topic.</param>
/// <param name="Broker">For an unclean election, the broker whose replica becomes leader; null for the one that loses least.</param>
/// <param name="AcceptDataLoss">Must be true for an unclean election, which may lose acknowledged records permanently.</param>
internal sealed record ElectLeadersBody(string Type, string? Topic = null, int? Partition = null, int? Broker = null,
    bool AcceptDataLoss = false);

/// <summary>The body of <c>POST /api/cluster/rebalance</c>.</summary>
/// <param name="PlanId">The id of a plan made within the last hour.</param>
/// <param name="Throttle">Limits on the speed; null for the default.</param>
internal sealed record ExecuteRebalanceBody(string PlanId, RebalanceThrottle? Throttle = null);
