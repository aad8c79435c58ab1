using OrleansMq.Api;
using OrleansMq.Groups.Classic;
using OrleansMq.Groups.Consumer;
using OrleansMq.Groups.Coordination;
using Engine = OrleansMq.Groups.Consumer;

namespace OrleansMq.Tests.Simulation.Groups;

/// <summary>Checks that a stored group may follow its predecessor: states and generations by the rules of the protocol, for any events
/// between the two writes.</summary>
internal static class TransitionChecker
{
    public static void OnStored(GroupDocument? before, GroupDocument? after)
    {
        if (before is null || after is null)
            return;
        Verdict.Require(after.Coordinator.Epoch >= before.Coordinator.Epoch,
            $"claims: {after.Coordinator} follows on {before.Coordinator}");
        Verdict.Require(GroupView.GenerationOf(after) >= GroupView.GenerationOf(before) || after is { Classic: null, Consumer: null },
            $"transitions: generation {GroupView.GenerationOf(after)} follows on {GroupView.GenerationOf(before)}");
        if (after.Consumer is { } consumer)
            OnStored(consumer);
        if (before.Classic is { } old && after.Classic is { } now)
            OnStored(old, now);
    }

    private static void OnStored(ConsumerGroupState group)
    {
        var holders = new Dictionary<Engine.TopicIdPartition, string>();
        var instances = new HashSet<string>();
        Verdict.Require(group.TargetEpoch <= group.GroupEpoch,
            $"transitions: target epoch {group.TargetEpoch} in group epoch {group.GroupEpoch}");
        foreach (var member in group.Members.Values)
        {
            Verdict.Require(member.Epoch <= group.TargetEpoch,
                $"transitions: {member.MemberId} is in {member.Epoch}, and the target is of {group.TargetEpoch}");
            Verdict.Require(member.InstanceId is null || instances.Add(member.InstanceId),
                $"transitions: two members are {member.InstanceId}");
            foreach (var partition in member.Assigned.Concat(member.Revoking))
            {
                if (!holders.TryAdd(partition, member.MemberId))
                    throw new Verdict($"invariant 5: {partition} is held by {holders[partition]} and {member.MemberId}");
            }
        }
    }

    private static void OnStored(ClassicGroupState before, ClassicGroupState after)
    {
        Verdict.Require(after.State == GroupState.Empty == after.Members.IsEmpty || (after is { State: GroupState.PreparingRebalance }),
            $"transitions: {after.State} with {after.Members.Count} members");
        if (after.Generation > before.Generation)
            return;
        Verdict.Require(MayFollow(before.State, after.State),
            $"transitions: {after.State} follows on {before.State} in generation {after.Generation}");
        if (before.State != GroupState.Stable || after.State != GroupState.Stable)
            return;
        Verdict.Require(before.Members.Count == after.Members.Count, $"transitions: the members of generation {after.Generation} changed");
        foreach (var member in after.Members.Values)
        {
            var same = before.Members.GetValueOrDefault(member.MemberId)
                ?? (member.GroupInstanceId is { } instance ? before.FindStatic(instance) : null);
            Verdict.Require(same is not null && same.Assignment.Span.SequenceEqual(member.Assignment.Span),
                $"transitions: the assignment of {member.MemberId} changed in generation {after.Generation}");
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
