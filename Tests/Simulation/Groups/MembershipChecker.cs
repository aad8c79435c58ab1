using OrleansMq.Api;
using OrleansMq.Coordination;
using OrleansMq.Groups.Coordination;

namespace OrleansMq.Tests.Simulation.Groups;

/// <summary>Checks why members are removed, and why a group rebalances. While its coordinator serves, no member is removed that was heard
/// of within its session, so stable members survive a change of coordinators. No static member takes the place of its successor. A
/// rebalance starts by a request or a removal, never because a coordinator opens, reads or stores.</summary>
internal sealed class MembershipChecker(GroupSimulation simulation)
{
    private sealed class Memory
    {
        public long OpenedAt { get; init; }
        /// <summary>When each member was last heard of and not refused.</summary>
        public Dictionary<string, long> Heard { get; } = [];
        /// <summary>Members that asked to leave; static ones by their instance ids.</summary>
        public HashSet<string> Leaving { get; } = [];
        public CoreView Before { get; set; } = CoreView.None;
        /// <summary>Whether the current request was overtaken by a later one, so that it says nothing about the present.</summary>
        public bool IsOvertaken { get; set; }
        /// <summary>By instance id, the members that others have replaced since its first one.</summary>
        public Dictionary<string, HashSet<string>> Replaced { get; } = [];
        /// <summary>The start of the current round of joins or syncs.</summary>
        public long RoundSince { get; set; }
        /// <summary>The deadline of each member that the coordinator has asked to act, and when it was set.</summary>
        public Dictionary<string, (long Since, DateTimeOffset Until)> Hurried { get; set; } = [];
    }

    private readonly Dictionary<SimulatedCoordinator, Memory> _memories = [];

    public void OnOpened(SimulatedCoordinator coordinator, GroupDocument? stored, long now)
    {
        var view = coordinator.View;
        var isSame = view.State == GroupView.StateOf(stored) && view.Generation == GroupView.GenerationOf(stored);
        var mayDiffer = SeesOtherTopics(coordinator, stored) || LooksForTheLeader(view, stored);
        Verdict.Require((isSame || mayDiffer) && view.Members.SetEquals(GroupView.MembersOf(stored)),
            $"failover: {coordinator} reads {GroupView.StateOf(stored)} {GroupView.GenerationOf(stored)} and begins with {view}");
        _memories.Add(coordinator, new Memory { OpenedAt = now, Before = view, RoundSince = now,
            Hurried = view.Deadlines.ToDictionary(d => d.Key, d => (now, d.Value)) });
    }

    // Only that lets a coordinator start with another epoch than the stored one.
    private static bool SeesOtherTopics(SimulatedCoordinator coordinator, GroupDocument? stored) => stored?.Consumer is { } consumer
        && (consumer.Topics.Any(t => coordinator.Topics.Find(t.Key) is not { } seen || seen.TopicId != t.Value.TopicId
            || seen.Partitions != t.Value.Partitions)
            || coordinator.Topics.All.Any(t => !consumer.Topics.ContainsKey(t.Name)));

    // A leader that resumed knows less of the topics than the coordinator may.
    private static bool LooksForTheLeader(CoreView view, GroupDocument? stored) => stored?.Classic is { HasResumedLeader: true } classic
        && view.State == GroupState.PreparingRebalance && view.Generation == classic.Generation;

    public void OnCommand(SimulatedCoordinator coordinator, CoordinatorCommand command)
    {
        var memory = _memories[coordinator];
        memory.IsOvertaken = command is CoordinatorRequest { Body: ConsumerGroupHeartbeat { Sequence: > 0 } heartbeat }
            && coordinator.Core!.Consumer?.LatestOf(heartbeat.MemberId) > heartbeat.Sequence;
        if (command is not CoordinatorRequest { Body: var body })
            return;
        switch (body)
        {
            case LeaveGroup leave:
                foreach (var leaving in leave.Members)
                {
                    memory.Leaving.Add(leaving.MemberId);
                    if (leaving.GroupInstanceId is { } instance)
                        memory.Leaving.Add(instance);
                }
                break;
            case ConsumerGroupHeartbeat { MemberEpoch: < 0 } leave:
                memory.Leaving.Add(leave.MemberId);
                if (leave.InstanceId is not null)
                    memory.Leaving.Add(leave.InstanceId);
                break;
        }
    }

    public void OnExecuted(SimulatedCoordinator coordinator, CoordinatorCommand command, long now)
    {
        var memory = _memories[coordinator];
        var (before, after) = (memory.Before, coordinator.View);
        memory.Before = after;
        // A failed write did not happen: the state is the former one again.
        if (command is ReadCompleted)
        {
            memory.Hurried = after.Deadlines.ToDictionary(d => d.Key, d => (now, d.Value));
            memory.RoundSince = now;
            memory.Replaced.Clear();
            foreach (var member in after.Members)
                memory.Heard[member] = now;
            return;
        }
        if (!ReferenceEquals(before, after))
            OnChanged(coordinator, memory, before, after, command, now);
        if (command is CoordinatorRequest { Body: var body } && MemberOf(body) is { Length: > 0 } speaker && after.Members.Contains(speaker)
            && !IsRefused(body, before) && !memory.IsOvertaken)
            memory.Heard[speaker] = now;
    }

    private void OnChanged(SimulatedCoordinator coordinator, Memory memory, CoreView before, CoreView after, CoordinatorCommand command,
        long now)
    {
        foreach (var member in before.Members.Where(m => !after.Members.Contains(m)))
            CheckOut(coordinator, memory, before, after, member, command, now);
        // A group of the classic protocol forgets them, also one that the replacement has made: its members have other ids with each join.
        if (!after.IsConsumer)
            memory.Replaced.Clear();
        memory.Hurried = after.Deadlines.ToDictionary(d => d.Key, d => memory.Hurried.TryGetValue(d.Key, out var known)
            && known.Until == d.Value ? known : (now, d.Value));
        if (before.IsAtRest && !after.IsAtRest || before.Generation != after.Generation)
        {
            Verdict.Require(command is CoordinatorRequest { Body: JoinGroup or LeaveGroup or ConsumerGroupHeartbeat or DeleteGroup } or Wake
                or TopicsChanged,
                $"rebalances: {coordinator} goes from {before} to {after} by {command}");
            Verdict.Require(command is not Wake || before.Generation != after.Generation || before.Members.Count > after.Members.Count,
                $"rebalances: {coordinator} goes from {before} to {after} by the time alone");
        }
        // A member that has not fetched its assignment has further time for it after the leader has sent it.
        if (before.Generation != after.Generation || (before.State != after.State && after.State != GroupState.Stable))
            memory.RoundSince = now;
    }

    private void CheckOut(SimulatedCoordinator coordinator, Memory memory, CoreView before, CoreView after, string member,
        CoordinatorCommand command, long now)
    {
        // Its instance id continues under another member id.
        var instance = before.Instances.GetValueOrDefault(member);
        if (instance is not null && after.Instances.ContainsValue(instance))
        {
            CheckReplacement(coordinator, memory, before, after, instance, member, command);
            return;
        }
        if (instance is not null)
            memory.Replaced.Remove(instance);
        if (memory.Leaving.Contains(member) || (instance is not null && memory.Leaving.Contains(instance)))
            return;
        var session = simulation.Scenario.SessionMs;
        var silentSince = Math.Max(memory.OpenedAt, memory.Heard.GetValueOrDefault(member, memory.OpenedAt));
        if (now - silentSince >= session)
        {
            simulation.Figures.Expired++;
            return;
        }
        // The member did not join, sync or revoke within the rebalance timeout.
        var isLate = command is Wake && (before.IsConsumer
            ? memory.Hurried.TryGetValue(member, out var hurried) && now - hurried.Since >= simulation.Scenario.RebalanceMs
            : now - memory.RoundSince >= simulation.Scenario.RebalanceMs);
        Verdict.Require(isLate || (before.IsFirstRound && command is Wake),
            $"sessions: {coordinator} removes {member} by {command}, which was heard of {now - silentSince} ms ago and may be silent for "
            + $"{session}");
    }

    // A process that was replaced is fenced, also if its first join comes again: the other one is the later.
    private static void CheckReplacement(SimulatedCoordinator coordinator, Memory memory, CoreView before, CoreView after, string instance,
        string member, CoordinatorCommand command)
    {
        if (!before.IsConsumer)
            return;
        if (!memory.Replaced.TryGetValue(instance, out var replaced))
            memory.Replaced.Add(instance, replaced = []);
        var next = after.Instances.First(pair => pair.Value == instance).Key;
        var isAway = before.Epochs.GetValueOrDefault(member) == ConsumerGroupHeartbeat.LeaveForNowEpoch;
        var isFirstJoin = command is CoordinatorRequest { Body: ConsumerGroupHeartbeat { TakesOverInstance: true } };
        Verdict.Require(isAway || !isFirstJoin || !replaced.Contains(next),
            $"static members: {coordinator} replaces {member} by {next}, which was replaced itself under the instance id {instance}");
        replaced.Add(member);
    }

    private static string? MemberOf(ICoordinatorRequest body) => body switch
    {
        JoinGroup join => join.MemberId,
        SyncGroup sync => sync.MemberId,
        Heartbeat heartbeat => heartbeat.MemberId,
        ConsumerGroupHeartbeat heartbeat => heartbeat.MemberId,
        _ => null,
    };

    // A heartbeat of an older generation proves that its sender is behind, not that the member is alive.
    private static bool IsRefused(ICoordinatorRequest body, CoreView view) => body switch
    {
        SyncGroup sync => sync.GenerationId != view.Epochs.GetValueOrDefault(sync.MemberId, -1),
        Heartbeat heartbeat => heartbeat.GenerationId != view.Epochs.GetValueOrDefault(heartbeat.MemberId, -1),
        ConsumerGroupHeartbeat heartbeat =>
            heartbeat.MemberEpoch > 0 && view.Epochs.GetValueOrDefault(heartbeat.MemberId, -1) != heartbeat.MemberEpoch,
        _ => false,
    };
}
