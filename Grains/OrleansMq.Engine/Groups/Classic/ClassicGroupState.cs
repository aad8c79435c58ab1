using System.Collections.Immutable;
using System.Text.Json.Serialization;
using OrleansMq.Api;
using OrleansMq.Diagnostics;

namespace OrleansMq.Groups.Classic;

/// <summary>
/// The stored state of a group of the classic protocol. What a coordinator keeps only in memory (joined members, deadlines) is in
/// <see cref="ClassicRound"/>. When members were last active is known only to the coordinator.
/// </summary>
internal sealed record ClassicGroupState
{
    // The legal transitions. Dead is never stored: a deleted group has no document.
    private static readonly ImmutableArray<(GroupState From, GroupState To)> LegalTransitions =
    [
        (GroupState.Empty, GroupState.PreparingRebalance),
        (GroupState.PreparingRebalance, GroupState.CompletingRebalance),
        (GroupState.PreparingRebalance, GroupState.Empty),
        (GroupState.CompletingRebalance, GroupState.Stable),
        (GroupState.CompletingRebalance, GroupState.PreparingRebalance),
        (GroupState.Stable, GroupState.PreparingRebalance),
    ];

    /// <summary>Creates the state of a group without members.</summary>
    public static ClassicGroupState Create(DateTimeOffset now) => new() { State = GroupState.Empty, EmptySince = now };

    /// <summary>The state: <see cref="GroupState.Empty"/>, <see cref="GroupState.PreparingRebalance"/>,
    /// <see cref="GroupState.CompletingRebalance"/> or <see cref="GroupState.Stable"/>.</summary>
    [JsonConverter(typeof(Coordination.GroupStateConverter))]
    public required GroupState State { get; init; }

    /// <summary>The generation, which increases with every rebalance. During preparation it is still the previous one; 0 before the
    /// first.</summary>
    public int Generation { get; init; }

    /// <summary>The last epoch of a group that was one of the consumer protocol, until its first generation; only then is it above
    /// <see cref="Generation"/>. It prevents a number from being used twice, even if the remaining members are at a lower epoch than those
    /// that left.</summary>
    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingDefault)]
    public int LastEpoch { get; init; }

    /// <summary>The number of the next generation.</summary>
    [JsonIgnore]
    public int NextGeneration => Math.Max(Generation, LastEpoch) + 1;

    /// <summary>The members' protocol type, such as <c>consumer</c>. Without members, that of the last ones; empty if there never were
    /// any.</summary>
    public string ProtocolType { get; init; } = "";

    /// <summary>The generation's protocol; null in a group without members.</summary>
    public string? ProtocolName { get; init; }

    /// <summary>The member that assigns, chosen when the generation was formed. It may have left while a rebalance is being prepared. Null
    /// without members.</summary>
    public string? Leader { get; init; }

    /// <summary>Whether the leader has restarted and resumed this generation (KIP-814). It does not know the partitions as of its
    /// predecessor's assignment, so it misses those added since; the coordinator looks for them until the next rebalance.</summary>
    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingDefault)]
    public bool HasResumedLeader { get; init; }

    /// <summary>The members by id, in ordinal order.</summary>
    public ImmutableSortedDictionary<string, ClassicMember> Members
    {
        get;
        init => field = value.WithComparers(StringComparer.Ordinal); // The JSON reader creates one that compares by culture.
    } = ImmutableSortedDictionary.Create<string, ClassicMember>(StringComparer.Ordinal);

    /// <summary>Since when it has no members; null if it has any.</summary>
    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)]
    public DateTimeOffset? EmptySince { get; init; }

    /// <summary>Whether members encode their subscriptions as Kafka's consumers do.</summary>
    [JsonIgnore]
    public bool IsOfConsumers => ProtocolType == "consumer";

    /// <summary>Whether a transition is legal.</summary>
    public static bool IsLegal(GroupState from, GroupState to) => LegalTransitions.Contains((from, to));

    /// <summary>Returns the group in another state.</summary>
    public ClassicGroupState Enter(GroupState next)
    {
        Invariant.Check(IsLegal(State, next), $"a classic group went from {State} to {next}");
        return this with { State = next };
    }

    /// <summary>Returns the group with a member added or replaced by id.</summary>
    public ClassicGroupState With(ClassicMember member) => this with { Members = Members.SetItem(member.MemberId, member) };

    /// <summary>Returns the member with an instance id; null for none.</summary>
    public ClassicMember? FindStatic(string instanceId) => Members.Values.FirstOrDefault(member => member.GroupInstanceId == instanceId);
}

/// <summary>A member of a classic group.</summary>
internal sealed record ClassicMember
{
    /// <summary>The member's id, assigned by the coordinator.</summary>
    public required string MemberId { get; init; }

    /// <summary>The instance id of a static member.</summary>
    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)]
    public string? GroupInstanceId { get; init; }

    /// <summary>The client's name for itself.</summary>
    public string ClientId { get; init; } = "";

    /// <summary>The client's address.</summary>
    public string ClientHost { get; init; } = "";

    /// <summary>How long it may go without a heartbeat before it is removed.</summary>
    public TimeSpan SessionTimeout { get; init; }

    /// <summary>How long it may take to rejoin.</summary>
    public TimeSpan RebalanceTimeout { get; init; }

    /// <summary>The supported protocols, in order of preference.</summary>
    public ImmutableArray<GroupProtocol> Protocols { get; init; } = [];

    /// <summary>The assignment from the generation's leader; empty for none, or not yet.</summary>
    public ReadOnlyMemory<byte> Assignment { get; init; }

    /// <summary>Returns the member's metadata for a protocol; empty if it does not support it.</summary>
    public ReadOnlyMemory<byte> MetadataOf(string? protocol) =>
        Protocols.FirstOrDefault(offered => offered.Name == protocol)?.Metadata ?? default;

    /// <summary>Its bytes, without the assignment.</summary>
    public long CountBytes() => MemberBounds.BytesOf(ClientId, Protocols);

    /// <summary>Whether it supports a protocol.</summary>
    public bool Supports(string protocol) => Protocols.Any(offered => offered.Name == protocol);
}
