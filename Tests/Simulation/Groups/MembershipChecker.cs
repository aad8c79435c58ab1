using OrleansMq.Groups;
using OrleansMq.Groups.Coordination;

namespace OrleansMq.Tests.Simulation.Groups;

/// <summary>
/// Why a member goes, and why a group rebalances. Nobody is out who was heard of within its session, as long as its coordinator serves: so stable members survive
/// a change of coordinators. And a rebalance begins by a request or because somebody is out, never because a coordinator opens, reads or stores.
/// </summary>
internal sealed class MembershipChecker(GroupSimulation simulation)
{
    private sealed class Memory
    {
        public long OpenedAt { get; init; }
        /// <summary>When a member was last heard of and not refused.</summary>
        public Dictionary<string, long> Heard { get; } = [];
        /// <summary>Members that asked to leave, and static ones by their instance ids.</summary>
        public HashSet<string> Leaving { get; } = [];
        public CoreView Before { get; set; } = CoreView.None;
        /// <summary>Since when a round of joining or syncing goes on.</summary>
        public long RoundSince { get; set; }
    }

    private readonly Dictionary<SimulatedCoordinator, Memory> _memories = [];

    public void OnOpened(SimulatedCoordinator coordinator, GroupDocument? stored, long now)
    {
        var view = CoreView.Of(coordinator.Core!);
        Verdict.Require(view.State == GroupView.StateOf(stored) && view.Generation == GroupView.GenerationOf(stored) && view.Members.SetEquals(GroupView.MembersOf(stored)),
            $"failover: {coordinator} reads {GroupView.StateOf(stored)} {GroupView.GenerationOf(stored)} and begins with {view}");
        _memories.Add(coordinator, new Memory { OpenedAt = now, Before = view, RoundSince = now });
    }

    public void OnCommand(SimulatedCoordinator coordinator, GroupCommand command)
    {
        if (command is not GroupRequest { Body: var body })
            return;
        var memory = _memories[coordinator];
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

    public void OnExecuted(SimulatedCoordinator coordinator, GroupCommand command, long now)
    {
        var memory = _memories[coordinator];
        var (before, after) = (memory.Before, CoreView.Of(coordinator.Core!));
        memory.Before = after;
        // What could not be stored did not happen: then all are as they were.
        if (command is ReadCompleted)
        {
            memory.RoundSince = now;
            foreach (var member in after.Members)
                memory.Heard[member] = now;
            return;
        }
        foreach (var member in before.Members.Where(m => !after.Members.Contains(m)))
            CheckOut(coordinator, memory, before, after, member, command, now);
        if (before.IsAtRest && !after.IsAtRest || before.Generation != after.Generation)
        {
            Verdict.Require(command is GroupRequest { Body: JoinGroup or LeaveGroup or ConsumerGroupHeartbeat or DeleteGroup } or Wake or TopicsChanged,
                $"rebalances: {coordinator} goes from {before} to {after} by {command}");
            Verdict.Require(command is not Wake || before.Generation != after.Generation || before.Members.Count > after.Members.Count,
                $"rebalances: {coordinator} goes from {before} to {after} by the time alone");
        }
        // Who has not asked for its assignment has time for it beyond the leader's bringing it.
        if (before.Generation != after.Generation || (before.State != after.State && after.State != GroupState.Stable))
            memory.RoundSince = now;
        if (command is GroupRequest { Body: var body } && MemberOf(body) is { Length: > 0 } speaker && after.Members.Contains(speaker) && !IsRefused(body, before))
            memory.Heard[speaker] = now;
    }

    private void CheckOut(SimulatedCoordinator coordinator, Memory memory, CoreView before, CoreView after, string member, GroupCommand command, long now)
    {
        // Its name goes on under another id.
        var instance = before.Instances.GetValueOrDefault(member);
        if (instance is not null && after.Instances.ContainsValue(instance))
            return;
        if (memory.Leaving.Contains(member) || (instance is not null && memory.Leaving.Contains(instance)))
            return;
        var session = simulation.Scenario.SessionMs;
        var silentSince = Math.Max(memory.OpenedAt, memory.Heard.GetValueOrDefault(member, memory.OpenedAt));
        if (now - silentSince >= session)
        {
            simulation.Figures.Expired++;
            return;
        }
        // Who neither joins nor syncs, or does not give up what it is to give up, within the time that a rebalance has.
        var isLate = now - memory.RoundSince >= simulation.Scenario.RebalanceMs && (command is Wake || before.IsConsumer);
        Verdict.Require(isLate || (before.IsFirstRound && command is Wake),
            $"sessions: {coordinator} puts {member} out by {command}, which was heard of {now - silentSince} ms ago and may be silent for {session}");
    }

    private static string? MemberOf(object body) => body switch
    {
        JoinGroup join => join.MemberId,
        SyncGroup sync => sync.MemberId,
        Heartbeat heartbeat => heartbeat.MemberId,
        ConsumerGroupHeartbeat heartbeat => heartbeat.MemberId,
        _ => null,
    };

    // An older generation's heartbeat says that its sender is behind, not that the member lives.
    private static bool IsRefused(object body, CoreView view) => body switch
    {
        SyncGroup sync => sync.GenerationId != view.Generation,
        Heartbeat heartbeat => heartbeat.GenerationId != view.Generation,
        ConsumerGroupHeartbeat heartbeat => heartbeat.MemberEpoch > 0 && view.Epochs.GetValueOrDefault(heartbeat.MemberId, -1) != heartbeat.MemberEpoch,
        _ => false,
    };
}

/// <summary>A coordinator's working state, ahead of what is stored.</summary>
internal sealed record CoreView(GroupState State, int Generation, bool IsConsumer, HashSet<string> Members, Dictionary<string, string> Instances, Dictionary<string, int> Epochs, bool IsFirstRound)
{
    public static CoreView None { get; } = new(GroupState.Empty, -1, false, [], [], [], false);

    /// <summary>Nothing goes on: everybody has what they are to have, or nobody is there.</summary>
    public bool IsAtRest => State is GroupState.Stable or GroupState.Empty;

    public static CoreView Of(GroupCore core)
    {
        if (core.Classic is not { } classic)
            return None;
        // Ids that were given out make no group.
        if (classic.State is { Generation: 0, State: GroupState.Empty })
            return None;
        return new CoreView(classic.State.State, classic.State.Generation, false, [.. classic.State.Members.Keys],
            classic.State.Members.Values.Where(m => m.GroupInstanceId is not null).ToDictionary(m => m.MemberId, m => m.GroupInstanceId!), [], classic.Round.InitialUntil is not null);
    }

    public override string ToString() => $"{State} {Generation} of {Members.Count}";
}
