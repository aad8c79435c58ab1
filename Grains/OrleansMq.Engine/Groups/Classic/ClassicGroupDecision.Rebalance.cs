using System.Collections.Immutable;
using OrleansMq.Api;

namespace OrleansMq.Groups.Classic;

public static partial class ClassicGroupDecision
{
    /// <summary>From now on all are to join again.</summary>
    internal static ClassicGroup PrepareRebalance(ClassicGroup group, DateTimeOffset now)
    {
        var state = group.State.Enter(GroupState.PreparingRebalance);
        var round = group.Round with
        {
            Joined = [],
            AwaitingSync = [],
            Deadline = now + ClassicGroup.LongestRebalance(state),
            InitialUntil = null,
        };
        return CompleteJoinIfAllAreThere(new ClassicGroup(state, round), now);
    }

    /// <summary>The first member of a group: more may be on their way.</summary>
    private static ClassicGroup PrepareFirst(ClassicGroup group, JoinGroup request, DateTimeOffset now, GroupOptions options)
    {
        if (options.InitialRebalanceDelay <= TimeSpan.Zero)
            return PrepareRebalance(group, now);
        var round = group.Round with
        {
            Joined = [],
            AwaitingSync = [],
            InitialUntil = now + RebalanceTimeoutOf(request),
        };
        return WaitForMoreIfFirst(new ClassicGroup(group.State.Enter(GroupState.PreparingRebalance), round), now, options);
    }

    /// <summary>A first generation waits a while longer with each member that comes, up to the first one's rebalance timeout.</summary>
    private static ClassicGroup WaitForMoreIfFirst(ClassicGroup group, DateTimeOffset now, GroupOptions options)
    {
        if (group.Round.InitialUntil is not { } until)
            return group;
        var next = now + options.InitialRebalanceDelay;
        return group with { Round = group.Round with { Deadline = next < until ? next : until } };
    }

    private static ClassicGroup CompleteJoinIfAllAreThere(ClassicGroup group, DateTimeOffset now)
    {
        var (state, round) = group;
        if (state.State != GroupState.PreparingRebalance)
            return group;
        if (state.Members.IsEmpty)
            return CompleteJoin(group, now);
        var areAllThere = round.InitialUntil is null && round.Pending.IsEmpty && round.Joined.Count == state.Members.Count;
        return areAllThere ? CompleteJoin(group, now) : group;
    }

    /// <summary>Ends the preparation: a new generation of those who joined, and of the static members that have time until their session
    /// ends.</summary>
    private static ClassicGroup CompleteJoin(ClassicGroup group, DateTimeOffset now)
    {
        var missing = group.State.Members.Values.Where(member => member.GroupInstanceId is null
            && !group.Round.Joined.Contains(member.MemberId))
            .Select(member => member.MemberId).ToList();
        if (missing.Count > 0)
            group = Without(group, missing);
        var (state, round) = group;
        if (state.Members.IsEmpty)
            return new ClassicGroup(
                state.Enter(GroupState.Empty) with { Generation = state.NextGeneration, LastEpoch = 0, ProtocolName = null, Leader = null,
                    EmptySince = now },
                ClassicRound.None with { Pending = round.Pending });
        if (round.Joined.IsEmpty) // Only static members that are away: nobody could assign.
            return group with { Round = round with { Deadline = now + ClassicGroup.LongestRebalance(state), InitialUntil = null } };
        var leader = state.Leader is { } before && round.Joined.Contains(before) ? before : round.Joined.Min(StringComparer.Ordinal);
        state = state.Enter(GroupState.CompletingRebalance) with
        {
            Generation = state.NextGeneration,
            LastEpoch = 0,
            ProtocolName = ChooseProtocol(state),
            Leader = leader,
            Members = state.Members.ToImmutableSortedDictionary(member => member.Key, member => member.Value with { Assignment = default },
                StringComparer.Ordinal),
        };
        return new ClassicGroup(state, ClassicRound.None with
        {
            Pending = round.Pending,
            AwaitingSync = round.Joined,
            Deadline = now + ClassicGroup.LongestRebalance(state),
        });
    }

    /// <summary>The protocol that all know, by vote: each member is for the first in its list that all know. Of two with as many votes the
    /// one that sorts first.</summary>
    internal static string ChooseProtocol(ClassicGroupState state)
    {
        var known = state.Members.Values.First().Protocols.Select(offered => offered.Name).ToHashSet(StringComparer.Ordinal);
        foreach (var member in state.Members.Values)
            known.IntersectWith(member.Protocols.Select(offered => offered.Name));
        return state.Members.Values
            .Select(member => member.Protocols.First(offered => known.Contains(offered.Name)).Name)
            .GroupBy(name => name, StringComparer.Ordinal)
            .OrderByDescending(votes => votes.Count())
            .ThenBy(votes => votes.Key, StringComparer.Ordinal)
            .First().Key;
    }

    private static ClassicGroup RemoveThoseThatDoNotSync(ClassicGroup group, DateTimeOffset now)
    {
        var silent = group.Round.AwaitingSync;
        if (silent.IsEmpty)
            return group with { Round = group.Round with { Deadline = null } };
        return PrepareRebalance(Without(group, silent), now);
    }
}
