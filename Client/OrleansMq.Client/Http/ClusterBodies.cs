using OrleansMq.Api;

namespace OrleansMq.Client.Http;

/// <summary>The body of <c>PATCH /api/cluster</c>.</summary>
/// <param name="AutoRebalance">Whether a broker that joins gets its share of replicas by itself; null leaves it.</param>
public sealed record AlterClusterBody(bool? AutoRebalance = null);

/// <summary>The body of <c>POST /api/partitions/{topic}/{partition}/reassign</c>.</summary>
/// <param name="Replicas">The brokers that are to hold it, the preferred leader first.</param>
public sealed record ReassignBody(IReadOnlyList<int> Replicas);

/// <summary>The body of <c>POST /api/leaders/elect</c>.</summary>
/// <param name="Type"><see cref="HttpContract.PreferredElection"/> or <see cref="HttpContract.UncleanElection"/>.</param>
/// <param name="Topic">The topic; for preferred leaders null is all topics.</param>
/// <param name="Partition">The partition; for preferred leaders null is all of the topic.</param>
/// <param name="Broker">For an unclean election: whose replica; null for the one that loses least.</param>
/// <param name="AcceptDataLoss">An unclean election may lose acknowledged records for good, so that it has to be true.</param>
public sealed record ElectLeadersBody(string Type, string? Topic = null, int? Partition = null, int? Broker = null,
    bool AcceptDataLoss = false);

/// <summary>The body of <c>POST /api/cluster/rebalance</c>.</summary>
/// <param name="PlanId">Of a plan that was made in the last hour.</param>
/// <param name="Throttle">How fast; null for the default.</param>
public sealed record ExecuteRebalanceBody(string PlanId, RebalanceThrottle? Throttle = null);
