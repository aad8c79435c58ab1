using System.Collections.Immutable;
using OrleansMq.Api;

namespace OrleansMq.Groups.Classic;

/// <summary>A group of the classic protocol in its coordinator's memory.</summary>
/// <param name="State">The stored part.</param>
/// <param name="Round">The part that is not stored.</param>
internal sealed record ClassicGroup(ClassicGroupState State, ClassicRound Round)
{
    /// <summary>Creates a group without members.</summary>
    public static ClassicGroup Create(DateTimeOffset now) => new(ClassicGroupState.Create(now), ClassicRound.None);

    /// <summary>
    /// Restores a group that another coordinator served, or that was read again. No member counts as joined or synced, and all get the full
    /// time of the current round.
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

    /// <summary>Returns the longest rebalance timeout among the members.</summary>
    public static TimeSpan LongestRebalance(ClassicGroupState state) =>
        state.Members.IsEmpty ? TimeSpan.Zero : state.Members.Values.Max(member => member.RebalanceTimeout);
}

/// <summary>The part of a join or sync round that is kept only in memory.</summary>
internal sealed record ClassicRound
{
    /// <summary>No round in progress.</summary>
    public static ClassicRound None { get; } = new();

    /// <summary>Ids that were given out (KIP-394) and not joined with so far, with the time at which each expires. Not stored: a member
    /// with an expired id simply gets another.</summary>
    public ImmutableSortedDictionary<string, DateTimeOffset> Pending { get; init; } =
        ImmutableSortedDictionary.Create<string, DateTimeOffset>(StringComparer.Ordinal);

    /// <summary>While a rebalance is being prepared, the members that have joined.</summary>
    public ImmutableHashSet<string> Joined { get; init; } = [];

    /// <summary>Once a generation is formed, the members that have not requested their assignment yet.</summary>
    public ImmutableHashSet<string> AwaitingSync { get; init; } = [];

    /// <summary>While a rebalance is being prepared, when it continues without the missing members. Afterwards, when those in
    /// <see cref="AwaitingSync"/> are removed. Null for no deadline.</summary>
    public DateTimeOffset? Deadline { get; init; }

    /// <summary>While the first generation is being prepared, until when it may wait for more members; otherwise null.</summary>
    public DateTimeOffset? InitialUntil { get; init; }

    /// <summary>The earliest of its deadlines; null for none.</summary>
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
