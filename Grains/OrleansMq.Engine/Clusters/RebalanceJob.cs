using System.Collections.Immutable;
using System.Text.Json;
using System.Text.Json.Serialization;
using OrleansMq.Api;

namespace OrleansMq.Clusters;

/// <summary>Where one partition of a rebalance is. Written into documents by name.</summary>
[JsonConverter(typeof(RebalanceStepStateConverter))]
public enum RebalanceStepState
{
    /// <summary>Never.</summary>
    Unknown = 0,
    /// <summary>Nothing was begun.</summary>
    Waiting = 1,
    /// <summary>Its leader was asked, or is being asked, to move it.</summary>
    Moving = 2,
    /// <summary>It is held as planned.</summary>
    Done = 3,
    /// <summary>It is not, and will not be: its topic was deleted, somebody moved it elsewhere, or the rebalance was cancelled.</summary>
    Skipped = 4,
}

/// <summary>Writes a <see cref="RebalanceStepState"/> as <c>"moving"</c>.</summary>
public sealed class RebalanceStepStateConverter()
    : JsonStringEnumConverter<RebalanceStepState>(JsonNamingPolicy.CamelCase, allowIntegerValues: false);

/// <summary>One partition of a rebalance.</summary>
/// <param name="TopicId">The topic's id.</param>
/// <param name="Topic">The topic's name.</param>
/// <param name="Partition">The partition's number.</param>
/// <param name="From">The brokers that held it when it was planned.</param>
/// <param name="To">The brokers that are to hold it.</param>
/// <param name="State">Where it is.</param>
public sealed record RebalanceStep(Guid TopicId, string Topic, int Partition, ImmutableArray<int> From, ImmutableArray<int> To,
    RebalanceStepState State = RebalanceStepState.Waiting)
{
    /// <summary>Whether nothing more is to be done.</summary>
    [JsonIgnore]
    public bool IsOver => State is RebalanceStepState.Done or RebalanceStepState.Skipped;
}

/// <summary>A rebalance, stored under <see cref="Key"/>, so that whoever directs the cluster next goes on with it. What is to be done next,
/// <see cref="RebalanceDecision"/> says.</summary>
public sealed record RebalanceJob
{
    /// <summary>The document's key in the state store.</summary>
    public const string Key = "rebalance/cluster";

    /// <summary>The plan that is carried out.</summary>
    public required string PlanId { get; init; }

    /// <summary>Where it is.</summary>
    public required RebalanceState State { get; init; }

    /// <summary>What it is for.</summary>
    public required string Reason { get; init; }

    /// <summary>So many partitions move at a time.</summary>
    public int MaxPartitions { get; init; } = 4;

    /// <summary>Bytes that each broker sends in a second to replicas that catch up; 0 for no limit.</summary>
    public long MaxBytesPerSecond { get; init; }

    /// <summary>The partitions, in order.</summary>
    public ImmutableArray<RebalanceStep> Steps { get; init; } = [];

    /// <summary>When it began.</summary>
    public DateTimeOffset StartedAt { get; init; }

    /// <summary>When it ended; null while it runs.</summary>
    public DateTimeOffset? FinishedAt { get; init; }

    /// <summary>Whether it is not over.</summary>
    [JsonIgnore]
    public bool IsRunning => State is RebalanceState.Running or RebalanceState.Cancelling;

    /// <summary>Begins to carry out a plan.</summary>
    public static RebalanceJob Begin(RebalancePlan plan, ClusterImage image, string reason, RebalanceThrottle throttle,
        DateTimeOffset now) => new()
    {
        PlanId = plan.PlanId,
        State = RebalanceState.Running,
        Reason = reason,
        MaxPartitions = throttle.MaxPartitions,
        MaxBytesPerSecond = throttle.MaxBytesPerSecond,
        Steps = [.. plan.Moves.Where(move => image.Names.ContainsKey(move.Topic)).Select(move =>
            new RebalanceStep(image.Names[move.Topic], move.Topic, move.Partition, [.. move.From], [.. move.To]))],
        StartedAt = now,
    };

    /// <summary>Nothing new is begun any more.</summary>
    public RebalanceJob Cancel() => IsRunning ? this with { State = RebalanceState.Cancelling } : this;

    /// <summary>The rebalance as it is told to others.</summary>
    /// <param name="image">The cluster.</param>
    /// <param name="message">What holds it up; null where nothing does.</param>
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
