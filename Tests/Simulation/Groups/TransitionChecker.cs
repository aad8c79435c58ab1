using OrleansMq.Groups;
using OrleansMq.Groups.Classic;
using OrleansMq.Groups.Coordination;

namespace OrleansMq.Tests.Simulation.Groups;

/// <summary>What one stored group may follow on another: states and generations by the rules of the protocol, whatever else happened between two writes.</summary>
internal static class TransitionChecker
{
    public static void OnStored(GroupDocument? before, GroupDocument? after)
    {
        if (before is null || after is null)
            return;
        Verdict.Require(after.Coordinator.Epoch >= before.Coordinator.Epoch, $"claims: {after.Coordinator} follows on {before.Coordinator}");
        if (before.Classic is { } old && after.Classic is { } now)
            OnStored(old, now);
    }

    private static void OnStored(ClassicGroupState before, ClassicGroupState after)
    {
        Verdict.Require(after.Generation >= before.Generation, $"transitions: generation {after.Generation} follows on {before.Generation}");
        Verdict.Require(after.State == GroupState.Empty == after.Members.IsEmpty || (after is { State: GroupState.PreparingRebalance }), $"transitions: {after.State} with {after.Members.Count} members");
        if (after.Generation > before.Generation)
            return;
        Verdict.Require(MayFollow(before.State, after.State), $"transitions: {after.State} follows on {before.State} in generation {after.Generation}");
        if (before.State != GroupState.Stable || after.State != GroupState.Stable)
            return;
        Verdict.Require(before.Members.Count == after.Members.Count, $"transitions: the members of generation {after.Generation} changed");
        foreach (var member in after.Members.Values)
        {
            var same = before.Members.GetValueOrDefault(member.MemberId) ?? (member.GroupInstanceId is { } instance ? before.FindStatic(instance) : null);
            Verdict.Require(same is not null && same.Assignment.Span.SequenceEqual(member.Assignment.Span), $"transitions: the assignment of {member.MemberId} changed in generation {after.Generation}");
        }
    }

    // Without a new generation: towards its end.
    private static bool MayFollow(GroupState before, GroupState after) => before == after || (before, after) switch
    {
        (GroupState.CompletingRebalance, GroupState.Stable) => true,
        (_, GroupState.PreparingRebalance) => true,
        _ => false,
    };
}
