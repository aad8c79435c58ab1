using OrleansMq.Api;
using OrleansMq.Groups.Classic;
using OrleansMq.Groups.Consumer;

namespace OrleansMq.Groups.Coordination;

public sealed partial class GroupCore
{
    // Members that wait for their generation, and for their assignment: one request each.
    private readonly Dictionary<string, WaitingRequest> _joins = new(StringComparer.Ordinal);
    private readonly Dictionary<string, WaitingRequest> _syncs = new(StringComparer.Ordinal);

    // The state for which those that wait were last looked at.
    private ClassicGroupState? _answeredFor;

    private void Join(GroupRequest request, JoinGroup join)
    {
        var newMemberId = $"{(join.GroupInstanceId ?? (join.ClientId.Length > 0 ? join.ClientId : "member"))}-{request.FreshId}";
        if (_consumer is { State.Members.IsEmpty: false } consumers)
        {
            JoinConsumers(request, join, newMemberId, consumers);
            return;
        }
        var decision = _rules.Join(ClassicGroupDecision.BeforeJoin(ClassicOrNew(), join, _topics, _now), join, newMemberId, _now, _options);
        Apply(decision.Next);
        if (decision.Next.State.Members.ContainsKey(decision.MemberId))
            Touch(decision.MemberId);
        if (decision.Reply is { } reply)
            HoldForGroup(request, reply, decision.MemberId);
        else
            Wait(_joins, decision.MemberId, request, join.GroupInstanceId);
    }

    private void Sync(GroupRequest request, SyncGroup sync)
    {
        if (_consumer is { } consumers)
        {
            SyncConsumers(request, sync, consumers);
            return;
        }
        var decision = _rules.Sync(ClassicOrNew(), sync, _now);
        Apply(decision.Next);
        if (decision.MemberId.Length > 0)
            Touch(decision.MemberId);
        if (decision.Reply is { } reply)
            HoldForGroup(request, reply, decision.MemberId);
        else
            Wait(_syncs, decision.MemberId, request, sync.GroupInstanceId);
    }

    private void Heartbeat(GroupRequest request, Heartbeat heartbeat)
    {
        if (_consumer is { } consumers)
        {
            HeartbeatConsumers(request, heartbeat, consumers);
            return;
        }
        var reply = _rules.Heartbeat(ClassicOrNew(), heartbeat);
        var isAlive = reply.Error is ErrorCode.None or ErrorCode.RebalanceInProgress;
        if (isAlive)
            Touch(heartbeat.MemberId);
        HoldForGroup(request, reply, isAlive ? heartbeat.MemberId : "");
    }

    private void Leave(GroupRequest request, LeaveGroup leave)
    {
        if (_consumer is { } consumers)
        {
            LeaveConsumers(request, leave, consumers);
            return;
        }
        var decision = _rules.Leave(ClassicOrNew(), leave, _now);
        Apply(decision.Next);
        HoldForGroup(request, decision.Reply!);
    }

    // A group that is not there is one without members, until somebody joins.
    private ClassicGroup ClassicOrNew() =>
        _classic ?? (_consumer is { } emptied ? GroupMigration.DowngradeEmpty(emptied.State) : ClassicGroup.Create(_now));

    private void Apply(ClassicGroup next)
    {
        var before = _classic;
        if (before is null && next.State.State == GroupState.Empty && next.Round.Pending.IsEmpty)
            return; // A request to a group without members, which left it so.
        (_classic, _consumer) = (next, null);
        var isChanged = before is null ? next.State.State != GroupState.Empty : !ReferenceEquals(before.State, next.State);
        if (isChanged)
            GroupChanged();
    }

    private void Wait(Dictionary<string, WaitingRequest> waiting, string memberId, GroupRequest request, string? instanceId)
    {
        if (waiting.Remove(memberId, out var earlier)) // The member asks again: it does not wait for the first answer any more.
            AnswerNow(earlier.Request, ErrorCode.RebalanceInProgress, "The member asked again: this is the answer to the earlier request.");
        waiting[memberId] = new WaitingRequest(request, instanceId);
    }

    /// <summary>Answers who waited for what is there by now.</summary>
    private void AnswerWaiting()
    {
        if (_classic is { } group && !ReferenceEquals(group.State, _answeredFor))
        {
            // While members only come, all those before them go on waiting: without this a group of thousands would look at each of them
            // for each of them.
            var onlyGrows = _answeredFor is { State: GroupState.PreparingRebalance } before
                && group.State.State == GroupState.PreparingRebalance
                && group.State.Members.Count > before.Members.Count;
            _answeredFor = group.State;
            if (!onlyGrows)
                Answer(_joins, waiting => _rules.AnswerJoin(group, waiting.Key, waiting.Value.InstanceId));
            Answer(_syncs, waiting => _rules.AnswerSync(group, waiting.Key, waiting.Value.InstanceId));
        }
        AnswerPolls();
    }

    private void Answer(Dictionary<string, WaitingRequest> waiting, Func<KeyValuePair<string, WaitingRequest>, object?> answer)
    {
        foreach (var entry in waiting)
        {
            if (answer(entry) is not { } result)
                continue;
            waiting.Remove(entry.Key); // Removing does not disturb the enumeration of a dictionary.
            HoldForGroup(entry.Value.Request, result, entry.Key);
        }
    }

    private void FailWaiting(ErrorCode error, string message)
    {
        FailPolls(error, message);
        FailJoinsAndSyncs(error, message);
    }

    private void FailJoinsAndSyncs(ErrorCode error, string message)
    {
        foreach (var waiting in (Dictionary<string, WaitingRequest>[])[_joins, _syncs])
        {
            foreach (var entry in waiting.Values)
                AnswerNow(entry.Request, error, message);
            waiting.Clear();
        }
    }

    private void Abandon(long requestId)
    {
        AbandonPoll(requestId);
        foreach (var waiting in (Dictionary<string, WaitingRequest>[])[_joins, _syncs])
        {
            foreach (var (memberId, entry) in waiting)
            {
                if (entry.Request.RequestId != requestId)
                    continue;
                waiting.Remove(memberId);
                Touch(memberId);
            }
        }
    }

    private bool IsWaiting(string memberId) => _joins.ContainsKey(memberId) || _syncs.ContainsKey(memberId) || _polls.ContainsKey(memberId);

    private readonly record struct WaitingRequest(GroupRequest Request, string? InstanceId);
}
