using System.Collections.Immutable;
using OrleansMq.Api;

namespace OrleansMq.Groups.Classic;

internal static partial class ClassicGroupDecision
{
    /// <summary>Starts a rebalance: all members have to rejoin.</summary>
    internal static ClassicGroup PrepareRebalance(ClassicGroup group, DateTimeOffset now)
    {
        var state = group.State.Enter(GroupState.PreparingRebalance) with { HasResumedLeader = false };
        var round = group.Round with
        {
            Joined = [],
            AwaitingSync = [],
            Deadline = now + ClassicGroup.LongestRebalance(state),
            InitialUntil = null,
        };
        return CompleteJoinIfAllAreThere(new ClassicGroup(state, round), now);
    }

    /// <summary>Prepares the first generation, which may wait for more members.</summary>
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

    /// <summary>Extends the wait of a first generation with each joining member, up to the first one's rebalance timeout.</summary>
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

    /// <summary>Completes the preparation. The new generation consists of the joined members, and of static members whose session has not
    /// timed out.</summary>
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
        if (round.Joined.IsEmpty) // Only absent static members: none could assign.
            return group with { Round = round with { Deadline = now + ClassicGroup.LongestRebalance(state), InitialUntil = null } };
        (state, round) = WithClaimsOfAbsentMembers(group);
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

    private static ClassicGroup WithClaimsOfAbsentMembers(ClassicGroup group)
    {
        var (state, round) = group;
        if (!state.IsOfConsumers || round.Joined.Count == state.Members.Count)
            return group;
        var claims = LatestClaims.Of(state);
        foreach (var absent in state.Members.Values.Where(member => !round.Joined.Contains(member.MemberId)))
            group = AbsentMember.Claiming(state, absent, claims) is { } claiming
                ? group with { State = group.State.With(claiming) }
                : Without(group, [absent.MemberId]);
        return group;
    }

    /// <summary>Chooses the protocol by vote among those that all members support: each member votes for the first one in its list. Ties
    /// are resolved by name.</summary>
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
