using System.Text.Json;
using System.Text.Json.Serialization;

namespace OrleansMq.Api;

/// <summary>What would be moved so that every broker holds and leads its share. Nothing moves before
/// <see cref="IClusterAdministration.ExecuteRebalanceAsync"/>.</summary>
/// <param name="PlanId">Names the plan.</param>
/// <param name="Moves">What to move, in this order; empty where nothing is to be done.</param>
/// <param name="Shares">What each broker holds now, and would afterwards.</param>
/// <param name="Summary">One line for a person.</param>
public sealed record RebalancePlan(string PlanId, IReadOnlyList<RebalanceMove> Moves, IReadOnlyList<BrokerShare> Shares, string Summary);

/// <summary>One partition of a plan.</summary>
/// <param name="Topic">The topic's name.</param>
/// <param name="Partition">The partition's number.</param>
/// <param name="From">The brokers that hold it now, the preferred leader first.</param>
/// <param name="To">The brokers that are to hold it. The same ones in another order: only leadership moves.</param>
/// <param name="Reason">Why, for a person.</param>
public sealed record RebalanceMove(string Topic, int Partition, IReadOnlyList<int> From, IReadOnlyList<int> To, string Reason);

/// <summary>A broker before and after a plan.</summary>
/// <param name="BrokerId">Its number.</param>
/// <param name="ReplicasBefore">Replicas that it holds.</param>
/// <param name="ReplicasAfter">Replicas that it would hold.</param>
/// <param name="PreferredLeadersBefore">Partitions that it is the first replica of.</param>
/// <param name="PreferredLeadersAfter">Partitions that it would be the first replica of.</param>
public sealed record BrokerShare(int BrokerId, int ReplicasBefore, int ReplicasAfter, int PreferredLeadersBefore,
    int PreferredLeadersAfter);

/// <summary>How fast replicas move.</summary>
/// <param name="MaxPartitions">So many partitions at a time, 1 to 1,000.</param>
/// <param name="MaxBytesPerSecond">Bytes that each broker sends in a second to replicas that catch up, while the rebalance runs; 0 for no
/// limit.</param>
public sealed record RebalanceThrottle(int MaxPartitions = 4, long MaxBytesPerSecond = 0);

/// <summary>Where a rebalance is. In JSON by name, in lower case.</summary>
[JsonConverter(typeof(RebalanceStateConverter))]
public enum RebalanceState
{
    /// <summary>Not known.</summary>
    Unknown = 0,
    /// <summary>Partitions move; goes on after a failure of the broker that directs it.</summary>
    Running = 1,
    /// <summary>Nothing new is begun; what was begun is taken back where it is not done.</summary>
    Cancelling = 2,
    /// <summary>All is moved that could be.</summary>
    Completed = 3,
    /// <summary>It was cancelled: what was moved stays where it is.</summary>
    Cancelled = 4,
}

/// <summary>Writes a <see cref="RebalanceState"/> as <c>"running"</c>.</summary>
public sealed class RebalanceStateConverter()
    : JsonStringEnumConverter<RebalanceState>(JsonNamingPolicy.CamelCase, allowIntegerValues: false);

/// <summary>A rebalance: the one that runs, or the last one.</summary>
/// <param name="PlanId">The plan that is carried out.</param>
/// <param name="State">Where it is.</param>
/// <param name="Reason">What it is for, for a person: <c>asked for</c>, <c>broker 3 joined</c>, <c>broker 2 is drained</c>.</param>
/// <param name="Throttle">How fast it may be.</param>
/// <param name="Moves">How many partitions the plan moves.</param>
/// <param name="Done">How many are moved.</param>
/// <param name="Skipped">How many were not, as their topic was deleted or somebody moved them elsewhere.</param>
/// <param name="Moving">The partitions that move at the moment.</param>
/// <param name="StartedAt">When it began.</param>
/// <param name="FinishedAt">When it ended; null while it runs.</param>
/// <param name="Message">What holds it up, or what did not work; null where all is well.</param>
public sealed record RebalanceStatus(string PlanId, RebalanceState State, string Reason, RebalanceThrottle Throttle, int Moves, int Done,
    int Skipped,
    IReadOnlyList<PartitionReassignment> Moving, DateTimeOffset StartedAt, DateTimeOffset? FinishedAt = null, string? Message = null);
