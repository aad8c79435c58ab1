using System.Collections.Immutable;
using OrleansMq.Api;

namespace OrleansMq.Groups.Classic;

/// <summary>A group of the classic protocol as its coordinator knows it.</summary>
/// <param name="State">What is stored of it.</param>
/// <param name="Round">What is not.</param>
public sealed record ClassicGroup(ClassicGroupState State, ClassicRound Round)
{
    /// <summary>A group that nobody has joined.</summary>
    public static ClassicGroup Create(DateTimeOffset now) => new(ClassicGroupState.Create(now), ClassicRound.None);

    /// <summary>
    /// As a coordinator takes a group up that another one left, or that it has read again: nobody has joined or synced as far as it knows,
    /// and all get the whole time that such a round takes.
    /// </summary>
    public static ClassicGroup TakeOver(ClassicGroupState state, DateTimeOffset now) => new(state, state.State switch
    {
        GroupState.PreparingRebalance => ClassicRound.None with { Deadline = now + LongestRebalance(state) },
        GroupState.CompletingRebalance => ClassicRound.None with
        {
            Deadline = now + LongestRebalance(state),
            AwaitingSync = [.. state.Members.Keys],
        },
        _ => ClassicRound.None,
    });

    /// <summary>How long the slowest member may take to join again.</summary>
    public static TimeSpan LongestRebalance(ClassicGroupState state) =>
        state.Members.IsEmpty ? TimeSpan.Zero : state.Members.Values.Max(member => member.RebalanceTimeout);
}

/// <summary>What a coordinator remembers of a round of joining and syncing, and forgets when it goes.</summary>
public sealed record ClassicRound
{
    /// <summary>Nothing is going on.</summary>
    public static ClassicRound None { get; } = new();

    /// <summary>Ids that were given out (KIP-394) and not joined with so far, with the time at which each is forgotten. A promise of no
    /// weight: who comes with a forgotten one gets another.</summary>
    public ImmutableSortedDictionary<string, DateTimeOffset> Pending { get; init; } =
        ImmutableSortedDictionary.Create<string, DateTimeOffset>(StringComparer.Ordinal);

    /// <summary>While a rebalance is prepared: the members that have joined it.</summary>
    public ImmutableHashSet<string> Joined { get; init; } = [];

    /// <summary>From the forming of a generation on: the members that have not asked for their assignment so far.</summary>
    public ImmutableHashSet<string> AwaitingSync { get; init; } = [];

    /// <summary>While a rebalance is prepared: when it goes on without those that have not joined. Afterwards: when those in
    /// <see cref="AwaitingSync"/> are out. Null: nothing to wait for.</summary>
    public DateTimeOffset? Deadline { get; init; }

    /// <summary>While the first generation is prepared: until when it may wait for more members; null in any other round.</summary>
    public DateTimeOffset? InitialUntil { get; init; }

    /// <summary>When the next of its times comes; null where none is set.</summary>
    public DateTimeOffset? NextTime
    {
        get
        {
            var next = Deadline;
            foreach (var (_, until) in Pending)
                next = next is null || until < next ? until : next;
            return next;
        }
    }
}
