using System.Collections.Immutable;
using System.Text.Json.Serialization;
using OrleansMq.Api;
using OrleansMq.Diagnostics;

namespace OrleansMq.Groups.Classic;

/// <summary>
/// A group of the classic protocol as it is stored. What a coordinator forgets when it goes (who has joined the round that is going on,
/// deadlines) stands in <see cref="ClassicRound"/>; when members were last heard of stands nowhere but in the coordinator's memory.
/// </summary>
public sealed record ClassicGroupState
{
    // Who may follow whom. Dead is never stored: a deleted group has no document.
    private static readonly ImmutableArray<(GroupState From, GroupState To)> LegalTransitions =
    [
        (GroupState.Empty, GroupState.PreparingRebalance),
        (GroupState.PreparingRebalance, GroupState.CompletingRebalance),
        (GroupState.PreparingRebalance, GroupState.Empty),
        (GroupState.CompletingRebalance, GroupState.Stable),
        (GroupState.CompletingRebalance, GroupState.PreparingRebalance),
        (GroupState.Stable, GroupState.PreparingRebalance),
    ];

    /// <summary>A group that nobody has joined.</summary>
    public static ClassicGroupState Create(DateTimeOffset now) => new() { State = GroupState.Empty, EmptySince = now };

    /// <summary>What it is doing: <see cref="GroupState.Empty"/>, <see cref="GroupState.PreparingRebalance"/>,
    /// <see cref="GroupState.CompletingRebalance"/> or <see cref="GroupState.Stable"/>.</summary>
    [JsonConverter(typeof(Coordination.GroupStateConverter))]
    public required GroupState State { get; init; }

    /// <summary>Rises with every rebalance; while one is prepared it is still that of the last. A group without generations so far:
    /// 0.</summary>
    public int Generation { get; init; }

    /// <summary>Above <see cref="Generation"/> only in a group that was one of the consumer protocol, until its first generation: the last
    /// epoch of that one. No number is used twice, also where the members that stayed are behind those that left.</summary>
    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingDefault)]
    public int LastEpoch { get; init; }

    /// <summary>The number of the next generation.</summary>
    [JsonIgnore]
    public int NextGeneration => Math.Max(Generation, LastEpoch) + 1;

    /// <summary>The members' protocol type, as <c>consumer</c>; that of the last members where there are none; empty where there never were
    /// any.</summary>
    public string ProtocolType { get; init; } = "";

    /// <summary>The protocol of the generation; null in a group without members.</summary>
    public string? ProtocolName { get; init; }

    /// <summary>The member that assigns, chosen when the generation was formed. It may have left while a rebalance is prepared; null
    /// without members.</summary>
    public string? Leader { get; init; }

    /// <summary>The members by id, in ordinal order.</summary>
    public ImmutableSortedDictionary<string, ClassicMember> Members
    {
        get;
        init => field = value.WithComparers(StringComparer.Ordinal); // The JSON reader makes one that compares by culture.
    } = ImmutableSortedDictionary.Create<string, ClassicMember>(StringComparer.Ordinal);

    /// <summary>Since when it has no members; null where it has.</summary>
    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)]
    public DateTimeOffset? EmptySince { get; init; }

    /// <summary>Whether members subscribe to topics in the bytes that Kafka's consumers use.</summary>
    [JsonIgnore]
    public bool IsOfConsumers => ProtocolType == "consumer";

    /// <summary>Whether a group may go from one state to another.</summary>
    public static bool IsLegal(GroupState from, GroupState to) => LegalTransitions.Contains((from, to));

    /// <summary>The same group in another state.</summary>
    public ClassicGroupState Enter(GroupState next)
    {
        Invariant.Check(IsLegal(State, next), $"a classic group went from {State} to {next}");
        return this with { State = next };
    }

    /// <summary>With this member, instead of the one that had its id.</summary>
    public ClassicGroupState With(ClassicMember member) => this with { Members = Members.SetItem(member.MemberId, member) };

    /// <summary>The member with that instance id.</summary>
    public ClassicMember? FindStatic(string instanceId) => Members.Values.FirstOrDefault(member => member.GroupInstanceId == instanceId);
}

/// <summary>A member of a classic group.</summary>
public sealed record ClassicMember
{
    /// <summary>Its id, given by the coordinator.</summary>
    public required string MemberId { get; init; }

    /// <summary>The instance id of a static member.</summary>
    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)]
    public string? GroupInstanceId { get; init; }

    /// <summary>How the program calls itself.</summary>
    public string ClientId { get; init; } = "";

    /// <summary>The address it calls from.</summary>
    public string ClientHost { get; init; } = "";

    /// <summary>Without a word for so long it is out.</summary>
    public TimeSpan SessionTimeout { get; init; }

    /// <summary>How long it may take to join again.</summary>
    public TimeSpan RebalanceTimeout { get; init; }

    /// <summary>The protocols it knows, the most liked first.</summary>
    public ImmutableArray<GroupProtocol> Protocols { get; init; } = [];

    /// <summary>What the leader of the generation gave it; empty for nothing, or not yet.</summary>
    public ReadOnlyMemory<byte> Assignment { get; init; }

    /// <summary>What it says to a protocol; empty where it does not know it.</summary>
    public ReadOnlyMemory<byte> MetadataOf(string? protocol) =>
        Protocols.FirstOrDefault(offered => offered.Name == protocol)?.Metadata ?? default;

    /// <summary>Whether it knows a protocol.</summary>
    public bool Supports(string protocol) => Protocols.Any(offered => offered.Name == protocol);
}
