using System.Collections.Immutable;
using System.Text.Json;
using System.Text.Json.Serialization;
using OrleansMq.Api;
using OrleansMq.Replication;

namespace OrleansMq.Clusters;

/// <summary>The state of one partition in a rebalance. Stored in documents by name.</summary>
[JsonConverter(typeof(RebalanceStepStateConverter))]
internal enum RebalanceStepState
{
    /// <summary>Never.</summary>
    Unknown = 0,
    /// <summary>Not started.</summary>
    Waiting = 1,
    /// <summary>Its leader was asked, or is being asked, to move it.</summary>
    Moving = 2,
    /// <summary>Its replicas are as planned.</summary>
    Done = 3,
    /// <summary>It will not be moved: its topic was deleted, it was moved elsewhere, the rebalance was cancelled, or a broker that an
    /// automatic one needs is away.</summary>
    Skipped = 4,
}

/// <summary>Converts a <see cref="RebalanceStepState"/> to JSON, for example <c>"moving"</c>.</summary>
internal sealed class RebalanceStepStateConverter()
    : JsonStringEnumConverter<RebalanceStepState>(JsonNamingPolicy.CamelCase, allowIntegerValues: false);

/// <summary>One partition of a rebalance.</summary>
/// <param name="TopicId">The topic's id.</param>
/// <param name="Topic">The topic's name.</param>
/// <param name="Partition">The partition's number.</param>
/// <param name="From">The brokers that held it when the plan was made.</param>
/// <param name="To">The brokers that will hold it.</param>
/// <param name="State">Its state.</param>
internal sealed record RebalanceStep(Guid TopicId, string Topic, int Partition, ImmutableArray<int> From, ImmutableArray<int> To,
    RebalanceStepState State = RebalanceStepState.Waiting)
{
    /// <summary>The partition.</summary>
    [JsonIgnore]
    public ReplicaKey Key => new(TopicId, Partition);

    /// <summary>Whether the step is done or skipped.</summary>
    [JsonIgnore]
    public bool IsOver => State is RebalanceStepState.Done or RebalanceStepState.Skipped;
}

/// <summary>A rebalance, stored under <see cref="Key"/> so that a new controller continues it. <see cref="RebalanceDecision"/> decides its
/// next step.</summary>
internal sealed record RebalanceJob
{
    /// <summary>The document's key in the state store.</summary>
    public const string Key = "rebalance/cluster";

    /// <summary>The id of the executed plan.</summary>
    public required string PlanId { get; init; }

    /// <summary>The state of the rebalance.</summary>
    public required RebalanceState State { get; init; }

    /// <summary>Its cause.</summary>
    public required string Reason { get; init; }

    /// <summary>Whether the cluster planned it by itself. It then gives up what cannot be done and plans again; a requested one waits.
    /// </summary>
    public bool IsAutomatic { get; init; }

    /// <summary>The maximum number of partitions moved at the same time.</summary>
    public int MaxPartitions { get; init; } = 4;

    /// <summary>The most bytes per second that each broker sends to replicas that are catching up; 0 for no limit.</summary>
    public long MaxBytesPerSecond { get; init; }

    /// <summary>The partitions, in order.</summary>
    public ImmutableArray<RebalanceStep> Steps { get; init; } = [];

    /// <summary>The start time.</summary>
    public DateTimeOffset StartedAt { get; init; }

    /// <summary>The end time; null while it runs.</summary>
    public DateTimeOffset? FinishedAt { get; init; }

    /// <summary>Whether it is still running or being cancelled.</summary>
    [JsonIgnore]
    public bool IsRunning => State is RebalanceState.Running or RebalanceState.Cancelling;

    /// <summary>Whether the cluster has planned it, it has ended, and some of its moves were given up. Replicas that were to be added are
    /// no moves.</summary>
    [JsonIgnore]
    public bool IsIncomplete => IsAutomatic && State == RebalanceState.Completed
        && Steps.Any(static step => step.State == RebalanceStepState.Skipped && step.From.Length == step.To.Length);

    /// <summary>Starts the execution of a plan.</summary>
    public static RebalanceJob Begin(RebalancePlan plan, ClusterImage image, string reason, RebalanceThrottle throttle,
        DateTimeOffset now, bool isAutomatic = false) => new()
    {
        PlanId = plan.PlanId,
        State = RebalanceState.Running,
        Reason = reason,
        IsAutomatic = isAutomatic,
        MaxPartitions = throttle.MaxPartitions,
        MaxBytesPerSecond = throttle.MaxBytesPerSecond,
        Steps = [.. plan.Moves.Where(move => image.Names.ContainsKey(move.Topic)).Select(move =>
            new RebalanceStep(image.Names[move.Topic], move.Topic, move.Partition, [.. move.From], [.. move.To]))],
        StartedAt = now,
    };

    /// <summary>Starts no further moves.</summary>
    public RebalanceJob Cancel() => IsRunning ? this with { State = RebalanceState.Cancelling } : this;

    /// <summary>Describes the rebalance for the broker API.</summary>
    /// <param name="image">The cluster.</param>
    /// <param name="message">What delays it; null for nothing.</param>
    public RebalanceStatus Describe(ClusterImage image, string? message)
    {
        var moving = Steps.Where(step => step.State == RebalanceStepState.Moving)
            .Select(step => image.TryGetPartition(new(step.TopicId, step.Partition), out _, out var partition)
                ? Reassignments.Describe(step.Topic, step.Partition, partition with { Target = step.To })
                : null);
        return new RebalanceStatus(PlanId, State, Reason, new RebalanceThrottle(MaxPartitions, MaxBytesPerSecond), Steps.Length,
            Steps.Count(step => step.State == RebalanceStepState.Done), Steps.Count(step => step.State == RebalanceStepState.Skipped),
            [.. moving.OfType<PartitionReassignment>()], StartedAt, FinishedAt, message);
    }
}
