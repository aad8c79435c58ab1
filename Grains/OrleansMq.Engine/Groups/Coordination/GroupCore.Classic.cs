using OrleansMq.Api;
using OrleansMq.Coordination;
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

    private void Join(CoordinatorRequest request, JoinGroup join)
    {
        var newMemberId = $"{(join.GroupInstanceId ?? (join.ClientId.Length > 0 ? join.ClientId : "member"))}-{request.FreshId}";
        if (_consumer is { State.Members.IsEmpty: false } consumers)
        {
            JoinConsumers(request, join, newMemberId, consumers);
            return;
        }
        var decision = _rules.Join(ClassicGroupDecision.BeforeJoin(ClassicOrNew(), join, _topics, Now), join, newMemberId, Now, _options);
        Apply(decision.Next);
        if (decision.Next.State.Members.ContainsKey(decision.MemberId))
            Touch(decision.MemberId);
        if (decision.Reply is { } reply)
            HoldFor(GroupDocuments.Group, request, reply, decision.MemberId);
        else
            Wait(_joins, decision.MemberId, request, join.GroupInstanceId);
    }

    private void Sync(CoordinatorRequest request, SyncGroup sync)
    {
        if (_consumer is { } consumers)
        {
            SyncConsumers(request, sync, consumers);
            return;
        }
        var decision = _rules.Sync(ClassicOrNew(), sync, Now);
        Apply(decision.Next);
        if (decision.MemberId.Length > 0)
            Touch(decision.MemberId);
        if (decision.Reply is { } reply)
            HoldFor(GroupDocuments.Group, request, reply, decision.MemberId);
        else
            Wait(_syncs, decision.MemberId, request, sync.GroupInstanceId);
    }

    private void Heartbeat(CoordinatorRequest request, Heartbeat heartbeat)
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
        HoldFor(GroupDocuments.Group, request, reply, isAlive ? heartbeat.MemberId : "");
    }

    private void Leave(CoordinatorRequest request, LeaveGroup leave)
    {
        if (_consumer is { } consumers)
        {
            LeaveConsumers(request, leave, consumers);
            return;
        }
        var decision = _rules.Leave(ClassicOrNew(), leave, Now);
        Apply(decision.Next);
        HoldFor(GroupDocuments.Group, request, decision.Reply!);
    }

    // A group that is not there is one without members, until the first join.
    private ClassicGroup ClassicOrNew() =>
        _classic ?? (_consumer is { } emptied ? GroupMigration.DowngradeEmpty(emptied.State) : ClassicGroup.Create(Now));

    private void Apply(ClassicGroup next)
    {
        var before = _classic;
        if (before is null && next.State.State == GroupState.Empty && next.Round.Pending.IsEmpty)
            return; // A request to a group without members, which left it so.
        (_classic, _consumer) = (next, null);
        var isChanged = before is null ? next.State.State != GroupState.Empty : !ReferenceEquals(before.State, next.State);
        if (isChanged)
            Changed(GroupDocuments.Group);
    }

    private void Wait(Dictionary<string, WaitingRequest> waiting, string memberId, CoordinatorRequest request, string? instanceId)
    {
        if (waiting.Remove(memberId, out var earlier)) // The member asks again: it does not wait for the first answer any more.
            AnswerNow(earlier.Request, ErrorCode.RebalanceInProgress, "The member asked again: this is the answer to the earlier request.");
        waiting[memberId] = new WaitingRequest(request, instanceId);
    }

    /// <inheritdoc/>
    protected override void AnswerWaiting()
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
            HoldFor(GroupDocuments.Group, entry.Value.Request, result, entry.Key);
        }
    }

    /// <inheritdoc/>
    protected override void FailWaiting(ErrorCode error, string message)
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

    /// <inheritdoc/>
    /// <remarks>The member remains one until its session ends, which begins now.</remarks>
    protected override void Abandon(long requestId)
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

    private readonly record struct WaitingRequest(CoordinatorRequest Request, string? InstanceId);
}
