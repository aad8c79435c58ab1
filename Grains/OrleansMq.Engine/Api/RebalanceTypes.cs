using System.Text.Json;
using System.Text.Json.Serialization;

namespace OrleansMq.Api;

/// <summary>The moves after which every broker holds and leads its share. Nothing moves before
/// <see cref="IClusterAdministration.ExecuteRebalanceAsync"/>.</summary>
/// <param name="PlanId">The plan's id.</param>
/// <param name="Moves">The moves, in order of execution; empty if none is needed.</param>
/// <param name="Shares">What each broker holds now and what it would hold afterwards.</param>
/// <param name="Summary">One line for a human reader.</param>
public sealed record RebalancePlan(string PlanId, IReadOnlyList<RebalanceMove> Moves, IReadOnlyList<BrokerShare> Shares, string Summary);

/// <summary>One move of a plan.</summary>
/// <param name="Topic">The topic's name.</param>
/// <param name="Partition">The partition's number.</param>
/// <param name="From">The brokers that hold it now, the preferred leader first.</param>
/// <param name="To">The brokers that will hold it. The same brokers in another order move leadership only.</param>
/// <param name="Reason">The reason, for a human reader.</param>
public sealed record RebalanceMove(string Topic, int Partition, IReadOnlyList<int> From, IReadOnlyList<int> To, string Reason);

/// <summary>A broker before and after a plan.</summary>
/// <param name="BrokerId">The broker's id.</param>
/// <param name="ReplicasBefore">Number of replicas that it holds.</param>
/// <param name="ReplicasAfter">Number of replicas that it would hold.</param>
/// <param name="PreferredLeadersBefore">Number of partitions of which it is the first replica.</param>
/// <param name="PreferredLeadersAfter">Number of partitions of which it would be the first replica.</param>
public sealed record BrokerShare(int BrokerId, int ReplicasBefore, int ReplicasAfter, int PreferredLeadersBefore,
    int PreferredLeadersAfter);

/// <summary>Limits on the speed at which replicas move.</summary>
/// <param name="MaxPartitions">How many partitions move at the same time, 1 to 1,000.</param>
/// <param name="MaxBytesPerSecond">Bytes per second that each broker sends to replicas that are catching up while the rebalance runs; 0 for
/// no limit.</param>
public sealed record RebalanceThrottle(int MaxPartitions = 4, long MaxBytesPerSecond = 0);

/// <summary>The state of a rebalance. Serialized to JSON as its lower-case name.</summary>
[JsonConverter(typeof(RebalanceStateConverter))]
public enum RebalanceState
{
    /// <summary>Unknown.</summary>
    Unknown = 0,
    /// <summary>Partitions are being moved. Execution continues after a failure of the broker that directs it.</summary>
    Running = 1,
    /// <summary>No new move starts, and unfinished moves are reverted.</summary>
    Cancelling = 2,
    /// <summary>Every move that was possible is done.</summary>
    Completed = 3,
    /// <summary>The rebalance was cancelled. Completed moves stay.</summary>
    Cancelled = 4,
}

/// <summary>Converts a <see cref="RebalanceState"/> to JSON, for example <c>"running"</c>.</summary>
public sealed class RebalanceStateConverter()
    : JsonStringEnumConverter<RebalanceState>(JsonNamingPolicy.CamelCase, allowIntegerValues: false);

/// <summary>The running rebalance, or the last one.</summary>
/// <param name="PlanId">The id of the executed plan.</param>
/// <param name="State">The state of the rebalance.</param>
/// <param name="Reason">Its cause, for a human reader: <c>asked for</c>, <c>broker 3 joined</c>, <c>broker 2 is drained</c>.</param>
/// <param name="Throttle">Limits on its speed.</param>
/// <param name="Moves">Number of moves in the plan.</param>
/// <param name="Done">Number of completed moves.</param>
/// <param name="Skipped">Number of moves skipped because the topic was deleted or the partition was moved elsewhere in the
/// meantime.</param>
/// <param name="Moving">The partitions that are being moved now.</param>
/// <param name="StartedAt">The start time.</param>
/// <param name="FinishedAt">The end time; null while it runs.</param>
/// <param name="Message">What delays it, or what failed; null if all is well.</param>
public sealed record RebalanceStatus(string PlanId, RebalanceState State, string Reason, RebalanceThrottle Throttle, int Moves, int Done,
    int Skipped, IReadOnlyList<PartitionReassignment> Moving, DateTimeOffset StartedAt, DateTimeOffset? FinishedAt = null,
    string? Message = null);
