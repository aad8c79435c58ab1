using System.Collections.Immutable;

namespace OrleansMq.Groups.Consumer;

/// <summary>A group of the consumer protocol as its coordinator knows it.</summary>
/// <param name="State">What is stored of it.</param>
/// <param name="Deadlines">What is not: by member the time at which it is out unless it did what it was told to do. A member of the
/// consumer protocol is to give partitions up; one of the classic protocol is to join again, or to ask for its assignment.</param>
public sealed record ConsumerGroup(ConsumerGroupState State, ImmutableSortedDictionary<string, DateTimeOffset> Deadlines)
{
    private static readonly ImmutableSortedDictionary<string, DateTimeOffset> NoDeadlines =
        ImmutableSortedDictionary.Create<string, DateTimeOffset>(StringComparer.Ordinal);

    private static readonly ImmutableDictionary<string, long> NoneHeard = ImmutableDictionary.Create<string, long>(StringComparer.Ordinal);

    /// <summary>The latest heartbeat of each member that numbers them, also of those that changed nothing. In memory only: who takes the
    /// group over goes by <see cref="ConsumerMember.Sequence"/>.</summary>
    public ImmutableDictionary<string, long> Heard { get; init; } = NoneHeard;

    /// <summary>The number of a member's latest heartbeat; 0 where none is known.</summary>
    public long LatestOf(string memberId) =>
        Math.Max(Heard.GetValueOrDefault(memberId), State.Members.TryGetValue(memberId, out var member) ? member.Sequence : 0);

    /// <summary>With the number of its latest heartbeat stored at a member that has changed since it was
    /// <paramref name="before"/>.</summary>
    public ConsumerGroup Stamp(string memberId, ConsumerMember? before) =>
        State.Members.TryGetValue(memberId, out var member) && !ReferenceEquals(member, before) && LatestOf(memberId) is var latest
        && latest != member.Sequence
            ? With(State.With(member with { Sequence = latest }))
            : this;

    /// <summary>When the next of its times comes; null where none is set.</summary>
    public DateTimeOffset? NextTime => Deadlines.IsEmpty ? null : Deadlines.Values.Min();

    /// <summary>A group that nobody has joined.</summary>
    /// <param name="now">The time.</param>
    /// <param name="epoch">The generation of the classic group it was; 0 if it was none.</param>
    public static ConsumerGroup Create(DateTimeOffset now, int epoch = 0) => new(ConsumerGroupState.Create(now, epoch), NoDeadlines);

    /// <summary>As a coordinator takes a group up that another one left, or that it has read again: who has something to do has the whole
    /// time for it.</summary>
    public static ConsumerGroup TakeOver(ConsumerGroupState state, DateTimeOffset now) => new(state, state.Members.Values
        .Where(member => member.Status == ConsumerMemberStatus.UnrevokedPartitions)
        .ToImmutableSortedDictionary(member => member.MemberId, member => now + member.RebalanceTimeout, StringComparer.Ordinal));

    /// <summary>With another state; the same instance if it is the same.</summary>
    public ConsumerGroup With(ConsumerGroupState state) => ReferenceEquals(state, State) ? this : this with { State = state };

    /// <summary>With a member that has to do something in its rebalance timeout, unless a time runs already.</summary>
    public ConsumerGroup Hurry(ConsumerMember member, DateTimeOffset now) => Deadlines.ContainsKey(member.MemberId)
        ? this
        : this with { Deadlines = Deadlines.Add(member.MemberId, now + member.RebalanceTimeout) };

    /// <summary>With a member that has nothing to hurry for.</summary>
    public ConsumerGroup Relax(string memberId) =>
        Deadlines.ContainsKey(memberId) ? this with { Deadlines = Deadlines.Remove(memberId) } : this;

    /// <summary>Without these members.</summary>
    public ConsumerGroup Without(IReadOnlyCollection<string> memberIds) => this with
    {
        State = State with { Members = State.Members.RemoveRange(memberIds) },
        Deadlines = Deadlines.RemoveRange(memberIds),
        Heard = Heard.RemoveRange(memberIds),
    };

    /// <summary>After a time in which the coordinator was too slow to hear anybody: all get the whole time again.</summary>
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
