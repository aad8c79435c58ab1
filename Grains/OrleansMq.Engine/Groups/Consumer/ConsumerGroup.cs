using System.Collections.Immutable;
using OrleansMq.Api;

namespace OrleansMq.Groups.Consumer;

/// <summary>A group of the consumer protocol in its coordinator's memory.</summary>
/// <param name="State">The stored part.</param>
/// <param name="Deadlines">The part that is not stored: by member, when it is removed unless it has complied. A member of the consumer
/// protocol has to revoke partitions. One of the classic protocol has to rejoin, or to request its assignment.</param>
internal sealed record ConsumerGroup(ConsumerGroupState State, ImmutableSortedDictionary<string, DateTimeOffset> Deadlines)
{
    private static readonly ImmutableSortedDictionary<string, DateTimeOffset> NoDeadlines =
        ImmutableSortedDictionary.Create<string, DateTimeOffset>(StringComparer.Ordinal);

    private static readonly ImmutableDictionary<string, ResolvedRegex> NoneResolved =
        ImmutableDictionary.Create<string, ResolvedRegex>(StringComparer.Ordinal);

    private static readonly ImmutableDictionary<string, long> NoneHeard = ImmutableDictionary.Create<string, long>(StringComparer.Ordinal);

    /// <summary>The latest heartbeat number of each member that numbers them, including heartbeats that changed nothing. In memory only:
    /// after a takeover <see cref="ConsumerMember.Sequence"/> is used.</summary>
    public ImmutableDictionary<string, long> Heard { get; init; } = NoneHeard;

    /// <summary>By member with a regular expression, the caller of its heartbeats and the topics that it may describe. In memory only:
    /// after a takeover each member's next heartbeat tells the caller. Until then the expression matches topics that the group
    /// reads.</summary>
    public ImmutableDictionary<string, ResolvedRegex> Resolved { get; init; } = NoneResolved;

    /// <summary>Returns the number of a member's latest heartbeat; 0 if unknown.</summary>
    public long LatestOf(string memberId) =>
        Math.Max(Heard.GetValueOrDefault(memberId), State.Members.TryGetValue(memberId, out var member) ? member.Sequence : 0);

    /// <summary>Stores the number of the latest heartbeat in a member that has changed since <paramref name="before"/>.</summary>
    public ConsumerGroup Stamp(string memberId, ConsumerMember? before) =>
        State.Members.TryGetValue(memberId, out var member) && !ReferenceEquals(member, before) && LatestOf(memberId) is var latest
        && latest != member.Sequence
            ? With(State.With(member with { Sequence = latest }))
            : this;

    /// <summary>The earliest deadline; null for none.</summary>
    public DateTimeOffset? NextTime => Deadlines.IsEmpty ? null : Deadlines.Values.Min();

    /// <summary>Creates a group without members.</summary>
    /// <param name="now">The current time.</param>
    /// <param name="epoch">The last generation, if it was a classic group; otherwise 0.</param>
    public static ConsumerGroup Create(DateTimeOffset now, int epoch = 0) => new(ConsumerGroupState.Create(now, epoch), NoDeadlines);

    /// <summary>Restores a group that another coordinator served, or that was read again. Members that have to comply get the full
    /// time.</summary>
    public static ConsumerGroup TakeOver(ConsumerGroupState state, DateTimeOffset now) => new(state, state.Members.Values
        .Where(member => member.Status == ConsumerMemberStatus.UnrevokedPartitions)
        .ToImmutableSortedDictionary(member => member.MemberId, member => now + member.RebalanceTimeout, StringComparer.Ordinal));

    /// <summary>Returns the group with another state; the same instance if the state is the same.</summary>
    public ConsumerGroup With(ConsumerGroupState state) => ReferenceEquals(state, State) ? this : this with { State = state };

    /// <summary>Starts a member's deadline, its rebalance timeout, unless one is running.</summary>
    public ConsumerGroup Hurry(ConsumerMember member, DateTimeOffset now) => Deadlines.ContainsKey(member.MemberId)
        ? this
        : this with { Deadlines = Deadlines.Add(member.MemberId, now + member.RebalanceTimeout) };

    /// <summary>Removes a member's deadline.</summary>
    public ConsumerGroup Relax(string memberId) =>
        Deadlines.ContainsKey(memberId) ? this with { Deadlines = Deadlines.Remove(memberId) } : this;

    /// <summary>Returns the group without these members.</summary>
    public ConsumerGroup Without(IReadOnlyCollection<string> memberIds) => this with
    {
        State = State with { Members = State.Members.RemoveRange(memberIds) },
        Deadlines = Deadlines.RemoveRange(memberIds),
        Heard = Heard.RemoveRange(memberIds),
        Resolved = Resolved.RemoveRange(memberIds),
    };

    /// <summary>Restarts all deadlines, after a stall in which the coordinator may have missed requests.</summary>
    public ConsumerGroup AfterStall(DateTimeOffset now)
    {
        var deadlines = Deadlines;
        foreach (var memberId in Deadlines.Keys)
        {
            if (State.Members.TryGetValue(memberId, out var member))
                deadlines = deadlines.SetItem(memberId, now + member.RebalanceTimeout);
        }
        return this with { Deadlines = deadlines };
    }
}

/// <summary>What a member's regular expression was resolved to.</summary>
/// <param name="Subscriber">The caller of its heartbeats.</param>
/// <param name="Names">The topics of the last resolution, in ordinal order; null before the first.</param>
internal sealed record ResolvedRegex(Subscriber Subscriber, IReadOnlyList<string>? Names);
