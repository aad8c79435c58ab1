using System.Collections.Immutable;
using System.Text.Json.Serialization;

namespace OrleansMq.Replication;

/// <summary>
/// A replica that has not lost its tail: the broker, and the incarnation that its copy of the log has on disk. The same broker with another
/// incarnation is another member, since its log may lack records that this one acknowledged.
/// </summary>
/// <param name="Broker">The broker's id.</param>
/// <param name="Incarnation">Random, never empty; renewed as <see cref="IncarnationDecision"/> says.</param>
internal readonly record struct ReplicaIdentity(int Broker, Guid Incarnation)
{
    /// <inheritdoc/>
    public override string ToString() => $"{Broker}:{Incarnation.ToString("N")[..4]}";
}

/// <summary>
/// A partition's leader and its possible successors. It is written when the topic is created; afterwards only by a claimant or the leader,
/// one write in flight, each a compare-and-swap.
/// </summary>
internal sealed record PartitionState
{
    /// <summary>No leader.</summary>
    public const int NoLeader = -1;

    /// <summary>The topic's id; it distinguishes a topic that was deleted and created again.</summary>
    public required Guid TopicId { get; init; }

    /// <summary>Raised by one with every claim; 0 before the first.</summary>
    public int LeaderEpoch { get; init; }

    /// <summary>The broker that claimed <see cref="LeaderEpoch"/>; <see cref="NoLeader"/> before the first claim.</summary>
    public int Leader { get; init; } = NoLeader;

    /// <summary>Random, and new with every claim. By it the writer recognises its own state after an unclear write.</summary>
    public Guid LeaderToken { get; init; }

    /// <summary>The replica set, the preferred leader first.</summary>
    public required ImmutableArray<int> Replicas { get; init; }

    /// <summary>In-sync replicas: each holds all records below the high watermark. Empty only before the first claim.</summary>
    public ImmutableArray<ReplicaIdentity> Isr { get; init; } = [];

    /// <summary>Eligible leader replicas (KIP-966). They left the ISR while it was too small for the high watermark to move, so they hold
    /// all records below it too.</summary>
    public ImmutableArray<ReplicaIdentity> Elr { get; init; } = [];

    /// <summary>The replica set of a reassignment in progress; empty if there is none. <see cref="Replicas"/> has its members first, then
    /// those that leave.</summary>
    public ImmutableArray<int> Reassignment { get; init; } = [];

    /// <summary>The successor that the last leader named when it resigned; <see cref="NoLeader"/> if none. It claims as usual.</summary>
    public int Successor { get; init; } = NoLeader;

    /// <summary>The latest epoch that began with an unclean election, so that earlier acknowledged records may be lost; -1 if there was
    /// none.</summary>
    public int UncleanEpoch { get; init; } = -1;

    /// <summary>Creates the state of a partition without a leader yet.</summary>
    public static PartitionState Create(Guid topicId, ImmutableArray<int> replicas) => new() { TopicId = topicId, Replicas = replicas };

    /// <inheritdoc/>
    public override string ToString() =>
        $"epoch {LeaderEpoch} leader {Leader} replicas [{string.Join(' ', Replicas)}] isr [{string.Join(' ', Isr)}] elr "
        + $"[{string.Join(' ', Elr)}]"
        + (Reassignment.IsEmpty ? "" : $" to [{string.Join(' ', Reassignment)}]") + (Successor < 0 ? "" : $" successor {Successor}")
        + (UncleanEpoch < 0 ? "" : $" unclean {UncleanEpoch}");
}

/// <summary>The JSON of a partition's state document.</summary>
[JsonSourceGenerationOptions(PropertyNamingPolicy = JsonKnownNamingPolicy.CamelCase)]
[JsonSerializable(typeof(PartitionState))]
internal sealed partial class ReplicationJson : JsonSerializerContext;
