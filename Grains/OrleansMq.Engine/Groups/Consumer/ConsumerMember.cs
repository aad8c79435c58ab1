using System.Collections.Immutable;
using System.Text.Json;
using System.Text.Json.Serialization;
using OrleansMq.Api;
using OrleansMq.Diagnostics;

namespace OrleansMq.Groups.Consumer;

/// <summary>The progress of a member towards its target assignment. The names are Kafka's.</summary>
[JsonConverter(typeof(ConsumerMemberStatusConverter))]
internal enum ConsumerMemberStatus
{
    /// <summary>Unknown.</summary>
    Unknown = 0,
    /// <summary>It has its whole target, or was not told of a newer one yet, in which case its epoch is behind.</summary>
    Stable = 1,
    /// <summary>It was told to revoke partitions, and has not confirmed that. Until then its epoch is behind.</summary>
    UnrevokedPartitions = 2,
    /// <summary>It is at the newest epoch, and others still hold partitions of its target.</summary>
    UnreleasedPartitions = 3,
    /// <summary>A static member that left temporarily. Its partitions stay reserved until its session times out.</summary>
    Away = 4,
}

/// <summary>Converts a <see cref="ConsumerMemberStatus"/> to JSON, for example <c>"stable"</c>.</summary>
internal sealed class ConsumerMemberStatusConverter()
    : JsonStringEnumConverter<ConsumerMemberStatus>(JsonNamingPolicy.CamelCase, allowIntegerValues: false);

/// <summary>A member of a consumer group.</summary>
internal sealed record ConsumerMember
{
    // The legal transitions. A joining member is Stable and holds nothing. A returning static member takes over its former partitions, and
    // is first Stable.
    private static readonly ImmutableArray<(ConsumerMemberStatus From, ConsumerMemberStatus To)> LegalTransitions =
    [
        (ConsumerMemberStatus.Stable, ConsumerMemberStatus.Stable),
        (ConsumerMemberStatus.Stable, ConsumerMemberStatus.UnrevokedPartitions),
        (ConsumerMemberStatus.Stable, ConsumerMemberStatus.UnreleasedPartitions),
        (ConsumerMemberStatus.Stable, ConsumerMemberStatus.Away),
        (ConsumerMemberStatus.UnrevokedPartitions, ConsumerMemberStatus.Stable),
        (ConsumerMemberStatus.UnrevokedPartitions,
            ConsumerMemberStatus.UnrevokedPartitions), // The target changed in the meantime: more to revoke.
        (ConsumerMemberStatus.UnrevokedPartitions, ConsumerMemberStatus.UnreleasedPartitions),
        (ConsumerMemberStatus.UnrevokedPartitions, ConsumerMemberStatus.Away),
        (ConsumerMemberStatus.UnreleasedPartitions, ConsumerMemberStatus.Stable),
        (ConsumerMemberStatus.UnreleasedPartitions, ConsumerMemberStatus.UnrevokedPartitions),
        (ConsumerMemberStatus.UnreleasedPartitions, ConsumerMemberStatus.UnreleasedPartitions),
        (ConsumerMemberStatus.UnreleasedPartitions, ConsumerMemberStatus.Away),
        (ConsumerMemberStatus.Away, ConsumerMemberStatus.Away),
        (ConsumerMemberStatus.Away, ConsumerMemberStatus.Stable),
    ];

    /// <summary>The most members of <see cref="Replaced"/>.</summary>
    public const int MostReplaced = 8;

    /// <summary>The member's id.</summary>
    public required string MemberId { get; init; }

    /// <summary>The instance id of a static member.</summary>
    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)]
    public string? InstanceId { get; init; }

    /// <summary>The member's rack; null for none.</summary>
    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)]
    public string? RackId { get; init; }

    /// <summary>The client's name for itself.</summary>
    public string ClientId { get; init; } = "";

    /// <summary>The client's address.</summary>
    public string ClientHost { get; init; } = "";

    /// <summary>How long it may take to revoke partitions. A classic member also has this time to rejoin and to sync.</summary>
    public TimeSpan RebalanceTimeout { get; init; }

    /// <summary>How long it may go without a heartbeat before it is removed; null for the coordinator's own timeout.</summary>
    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)]
    public TimeSpan? SessionTimeout { get; init; }

    /// <summary>The topics subscribed to by name, in ordinal order.</summary>
    public ImmutableArray<string> TopicNames { get; init; } = [];

    /// <summary>The subscribed regular expression; null for none.</summary>
    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)]
    public string? TopicRegex { get; init; }

    /// <summary>The preferred assignor; null for none.</summary>
    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)]
    public string? ServerAssignor { get; init; }

    /// <summary>Its progress towards its target.</summary>
    public ConsumerMemberStatus Status { get; init; } = ConsumerMemberStatus.Stable;

    /// <summary>The last epoch sent to it; 0 before the first; <see cref="ConsumerGroupHeartbeat.LeaveForNowEpoch"/> while it is
    /// away.</summary>
    public int Epoch { get; init; }

    /// <summary>Its epoch before <see cref="Epoch"/>, which it still uses if it missed the response.</summary>
    public int PreviousEpoch { get; init; }

    /// <summary>Its current assignment, which it may read.</summary>
    public PartitionSet Assigned { get; init; } = PartitionSet.Empty;

    /// <summary>The partitions that it was told to revoke, and may still be reading; empty unless
    /// <see cref="ConsumerMemberStatus.UnrevokedPartitions"/>.</summary>
    public PartitionSet Revoking { get; init; } = PartitionSet.Empty;

    /// <summary>Its target assignment.</summary>
    public PartitionSet Target { get; init; } = PartitionSet.Empty;

    /// <summary>The number of the heartbeat that last changed this member, or waited while it was changed; 0 if heartbeats are not
    /// numbered. The owned partitions in an earlier heartbeat may lack later assignments.</summary>
    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingDefault)]
    public long Sequence { get; init; }

    /// <summary>The ids of the members of the consumer protocol that it replaced under its instance id, and of those that they had
    /// replaced: the latest, at most <see cref="MostReplaced"/>. Their processes are fenced, also one that does not know yet that it had
    /// joined.</summary>
    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingDefault)]
    public ImmutableArray<string> Replaced { get; init; }

    /// <summary>The additional state of a classic member; null for one of the consumer protocol.</summary>
    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)]
    public ClassicFacet? Classic { get; init; }

    /// <summary>Whether it replaced a member of that id.</summary>
    public bool HasReplaced(string memberId) => !Replaced.IsDefault && Replaced.Contains(memberId);

    /// <summary>Whether it is a member of the classic protocol.</summary>
    [JsonIgnore]
    public bool IsClassic => Classic is not null;

    /// <summary>Whether a transition is legal.</summary>
    public static bool IsLegal(ConsumerMemberStatus from, ConsumerMemberStatus to) => LegalTransitions.Contains((from, to));

    /// <summary>Returns the member with another status.</summary>
    public ConsumerMember Enter(ConsumerMemberStatus next)
    {
        Invariant.Check(IsLegal(Status, next), $"a member of a consumer group went from {Status} to {next}");
        return this with { Status = next };
    }

    /// <summary>Whether it has reached its target, or is away.</summary>
    public bool IsSettled(int targetEpoch) =>
        Status == ConsumerMemberStatus.Away || (Status == ConsumerMemberStatus.Stable && Epoch == targetEpoch);
}

/// <summary>The state that only members of the classic protocol have.</summary>
internal sealed record ClassicFacet
{
    /// <summary>How long it may go without a heartbeat before it is removed.</summary>
    public TimeSpan SessionTimeout { get; init; }

    /// <summary>The supported protocols, in order of preference, for a later downgrade to a classic group.</summary>
    public ImmutableArray<GroupProtocol> Protocols { get; init; } = [];

    /// <summary>Whether it supports a protocol.</summary>
    public bool Supports(string protocol) => Protocols.Any(offered => offered.Name == protocol);
}
