using System.Collections.Immutable;
using System.Text.Json;
using System.Text.Json.Serialization;
using OrleansMq.Api;
using OrleansMq.Diagnostics;

namespace OrleansMq.Groups.Consumer;

/// <summary>Where a member stands on its way to its target assignment. The names are Kafka's.</summary>
[JsonConverter(typeof(ConsumerMemberStatusConverter))]
public enum ConsumerMemberStatus
{
    /// <summary>Not known.</summary>
    Unknown = 0,
    /// <summary>It has all of its target, or has not been told of a newer one yet: then its epoch is behind.</summary>
    Stable = 1,
    /// <summary>It was told to give partitions up, and has not said that it did. Its epoch is below the newest until then.</summary>
    UnrevokedPartitions = 2,
    /// <summary>It is at the newest epoch, and others still hold what it is to get.</summary>
    UnreleasedPartitions = 3,
    /// <summary>A static member that left for a short time: its partitions wait for it until its session ends.</summary>
    Away = 4,
}

/// <summary>Writes a <see cref="ConsumerMemberStatus"/> as <c>"stable"</c>.</summary>
public sealed class ConsumerMemberStatusConverter()
    : JsonStringEnumConverter<ConsumerMemberStatus>(JsonNamingPolicy.CamelCase, allowIntegerValues: false);

/// <summary>A member of a consumer group.</summary>
public sealed record ConsumerMember
{
    // Who may follow whom. A member that joins is Stable and holds nothing; a static one that comes back takes over what its former self
    // held, and is Stable first.
    private static readonly ImmutableArray<(ConsumerMemberStatus From, ConsumerMemberStatus To)> LegalTransitions =
    [
        (ConsumerMemberStatus.Stable, ConsumerMemberStatus.Stable),
        (ConsumerMemberStatus.Stable, ConsumerMemberStatus.UnrevokedPartitions),
        (ConsumerMemberStatus.Stable, ConsumerMemberStatus.UnreleasedPartitions),
        (ConsumerMemberStatus.Stable, ConsumerMemberStatus.Away),
        (ConsumerMemberStatus.UnrevokedPartitions, ConsumerMemberStatus.Stable),
        (ConsumerMemberStatus.UnrevokedPartitions,
            ConsumerMemberStatus.UnrevokedPartitions), // The target changed meanwhile: more to give up.
        (ConsumerMemberStatus.UnrevokedPartitions, ConsumerMemberStatus.UnreleasedPartitions),
        (ConsumerMemberStatus.UnrevokedPartitions, ConsumerMemberStatus.Away),
        (ConsumerMemberStatus.UnreleasedPartitions, ConsumerMemberStatus.Stable),
        (ConsumerMemberStatus.UnreleasedPartitions, ConsumerMemberStatus.UnrevokedPartitions),
        (ConsumerMemberStatus.UnreleasedPartitions, ConsumerMemberStatus.UnreleasedPartitions),
        (ConsumerMemberStatus.UnreleasedPartitions, ConsumerMemberStatus.Away),
        (ConsumerMemberStatus.Away, ConsumerMemberStatus.Away),
        (ConsumerMemberStatus.Away, ConsumerMemberStatus.Stable),
    ];

    /// <summary>Its id.</summary>
    public required string MemberId { get; init; }

    /// <summary>The instance id of a static member.</summary>
    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)]
    public string? InstanceId { get; init; }

    /// <summary>Its rack; null for none.</summary>
    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)]
    public string? RackId { get; init; }

    /// <summary>How the program calls itself.</summary>
    public string ClientId { get; init; } = "";

    /// <summary>The address it calls from.</summary>
    public string ClientHost { get; init; } = "";

    /// <summary>How long it may take to give partitions up; of a classic member also to join again and to ask for its assignment.</summary>
    public TimeSpan RebalanceTimeout { get; init; }

    /// <summary>The topics it named, in ordinal order.</summary>
    public ImmutableArray<string> TopicNames { get; init; } = [];

    /// <summary>The regular expression it gave; null for none.</summary>
    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)]
    public string? TopicRegex { get; init; }

    /// <summary>The assignor it would like; null: whichever.</summary>
    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)]
    public string? ServerAssignor { get; init; }

    /// <summary>Where it stands.</summary>
    public ConsumerMemberStatus Status { get; init; } = ConsumerMemberStatus.Stable;

    /// <summary>The epoch it was told last; 0 before the first, <see cref="ConsumerGroupHeartbeat.LeaveForNowEpoch"/> while it is
    /// away.</summary>
    public int Epoch { get; init; }

    /// <summary>The epoch that it came with when it went to <see cref="Epoch"/>: a member that did not hear the answer still comes with
    /// it.</summary>
    public int PreviousEpoch { get; init; }

    /// <summary>What it may read, and is told to hold.</summary>
    public PartitionSet Assigned { get; init; } = PartitionSet.Empty;

    /// <summary>What it was told to give up, and may still be reading; empty unless
    /// <see cref="ConsumerMemberStatus.UnrevokedPartitions"/>.</summary>
    public PartitionSet Revoking { get; init; } = PartitionSet.Empty;

    /// <summary>What it is to hold in the end.</summary>
    public PartitionSet Target { get; init; } = PartitionSet.Empty;

    /// <summary>The number of the heartbeat that last changed something of it, or waited while it was changed; 0: its heartbeats are not
    /// numbered. What one of an earlier number says it holds may be without what it was given since.</summary>
    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingDefault)]
    public long Sequence { get; init; }

    /// <summary>What a member has that speaks the classic protocol; null for one of the consumer protocol.</summary>
    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)]
    public ClassicFacet? Classic { get; init; }

    /// <summary>Whether it speaks the classic protocol.</summary>
    [JsonIgnore]
    public bool IsClassic => Classic is not null;

    /// <summary>Whether a member may go from one status to another.</summary>
    public static bool IsLegal(ConsumerMemberStatus from, ConsumerMemberStatus to) => LegalTransitions.Contains((from, to));

    /// <summary>The same member with another status.</summary>
    public ConsumerMember Enter(ConsumerMemberStatus next)
    {
        Invariant.Check(IsLegal(Status, next), $"a member of a consumer group went from {Status} to {next}");
        return this with { Status = next };
    }

    /// <summary>Whether there is nothing more for it to do.</summary>
    public bool IsSettled(int targetEpoch) =>
        Status == ConsumerMemberStatus.Away || (Status == ConsumerMemberStatus.Stable && Epoch == targetEpoch);
}

/// <summary>What only members of the classic protocol have.</summary>
public sealed record ClassicFacet
{
    /// <summary>Without a word for so long it is out.</summary>
    public TimeSpan SessionTimeout { get; init; }

    /// <summary>The protocols it knows, the most liked first: what makes it a member of a classic group again.</summary>
    public ImmutableArray<GroupProtocol> Protocols { get; init; } = [];

    /// <summary>Whether it knows a protocol.</summary>
    public bool Supports(string protocol) => Protocols.Any(offered => offered.Name == protocol);
}
