using OrleansMq.Api;
using OrleansMq.Coordination;
using OrleansMq.Groups.Consumer;

namespace OrleansMq.Groups.Coordination;

public sealed partial class GroupCore
{
    // Members that wait for news in a long poll: one request each.
    private readonly Dictionary<string, Poll> _polls = new(StringComparer.Ordinal);
    // The state for which those that wait were last looked at: most commands change nothing for them.
    private ConsumerGroupState? _advanced;

    private void ConsumerHeartbeat(CoordinatorRequest request, ConsumerGroupHeartbeat heartbeat)
    {
        var group = _consumer;
        if (group is null)
        {
            var refusal = heartbeat.MemberEpoch == ConsumerGroupHeartbeat.JoinEpoch
                ? _rules.TryUpgrade(ClassicOrNew(), _topics, Now, out group)
                : new GroupReply(ErrorCode.UnknownMemberId,
                    $"The group has no member '{heartbeat.MemberId}' (any more): give all partitions up and join again.");
            if (refusal.Error != ErrorCode.None)
            {
                HoldFor(GroupDocuments.Group, request, ConsumerGroupHeartbeatResult.Failed(refusal.Error, refusal.Message!));
                return;
            }
        }
        var decision = _rules.Heartbeat(group!, heartbeat, request.FreshId.ToString(), _topics, Now, _options);
        if (decision.Reply is null or { Error: ErrorCode.None })
            Apply(decision.Next);
        if (decision.MemberId.Length > 0)
            Touch(decision.MemberId);
        if (decision.Reply is { } reply)
        {
            EndEarlierPoll(decision.MemberId);
            HoldFor(GroupDocuments.Group, request, reply, decision.MemberId);
        }
        else
            WaitForNews(request, heartbeat, decision.MemberId);
    }

    private void WaitForNews(CoordinatorRequest request, ConsumerGroupHeartbeat heartbeat, string memberId)
    {
        EndEarlierPoll(memberId);
        var wait = heartbeat.MaxWait < _options.ConsumerHeartbeatInterval ? heartbeat.MaxWait : _options.ConsumerHeartbeatInterval;
        var poll = new Poll(request, heartbeat, ConsumerGroupDecision.Told(_consumer!, memberId)!, Now + wait);
        _polls[memberId] = poll;
        Want(poll.Until);
    }

    /// <summary>The member asks again: it does not wait for the first answer any more.</summary>
    private void EndEarlierPoll(string memberId)
    {
        if (_polls.Remove(memberId, out var earlier))
            AnswerNow(earlier.Request, ErrorCode.CoordinatorNotAvailable,
                "The member asked again: this is the answer to the earlier request.");
    }

    private void Apply(ConsumerGroup next)
    {
        var isChanged = !ReferenceEquals(_consumer?.State, next.State);
        _consumer = next;
        if (_classic is not null)
        {
            _classic = null;
            FailJoinsAndSyncs(ErrorCode.RebalanceInProgress, "The group rebalances: join again.");
        }
        if (isChanged && _rules.TryDowngrade(next, Now) is { } classic)
            (_classic, _consumer) = (classic, null);
        if (isChanged)
            Changed(GroupDocuments.Group);
    }

    // --- Members of the classic protocol in such a group ---

    private void JoinConsumers(CoordinatorRequest request, JoinGroup join, string newMemberId, ConsumerGroup group)
    {
        var decision = ConsumerGroupDecision.Join(group, join, newMemberId, _topics, Now, _options);
        Apply(decision.Next);
        Answer(request, decision.Reply!, decision.MemberId);
    }

    private void SyncConsumers(CoordinatorRequest request, SyncGroup sync, ConsumerGroup group)
    {
        var decision = ConsumerGroupDecision.Sync(group, sync, Now);
        Apply(decision.Next);
        Answer(request, decision.Reply!, decision.MemberId);
    }

    private void HeartbeatConsumers(CoordinatorRequest request, Heartbeat heartbeat, ConsumerGroup group)
    {
        var decision = ConsumerGroupDecision.Heartbeat(group, heartbeat, Now);
        Apply(decision.Next);
        Answer(request, decision.Reply!.Reply, decision.MemberId);
    }

    private void LeaveConsumers(CoordinatorRequest request, LeaveGroup leave, ConsumerGroup group)
    {
        var decision = ConsumerGroupDecision.Leave(group, leave, _topics, Now);
        Apply(decision.Next);
        HoldFor(GroupDocuments.Group, request, decision.Reply!);
    }

    /// <summary>Answers a member, which was heard of.</summary>
    private void Answer(CoordinatorRequest request, object reply, string memberId)
    {
        if (memberId.Length > 0)
            Touch(memberId);
        HoldFor(GroupDocuments.Group, request, reply, memberId);
    }

    // --- News ---

    private void FollowTopics()
    {
        if (_consumer is { } group)
            Apply(_rules.OnTopics(group, _topics));
    }

    private void OnTimeOfConsumers()
    {
        if (_consumer is { } group)
            Apply(_rules.OnTime(group, _topics, Now));
        foreach (var (memberId, poll) in _polls)
        {
            if (poll.Until > Now || _consumer is null)
                continue;
            _polls.Remove(memberId); // Removing does not disturb the enumeration of a dictionary.
            HoldFor(GroupDocuments.Group, poll.Request, ConsumerGroupDecision.AnswerNoNews(_consumer, poll.Heartbeat, memberId, _options),
                memberId);
        }
    }

    /// <summary>Lets members that wait advance, and answers those that have news.</summary>
    private void AnswerPolls()
    {
        if (_polls.Count == 0 || (_consumer is { } known && ReferenceEquals(_advanced, known.State)))
            return;
        if (_consumer is not { } group)
        {
            FailPolls(ErrorCode.UnknownMemberId, "The group has no such member (any more): give all partitions up and join again.");
            return;
        }
        Apply(_rules.Advance(group, _polls.Keys, Now));
        _advanced = _consumer!.State;
        foreach (var (memberId, poll) in _polls)
        {
            if (ConsumerGroupDecision.AnswerHeartbeat(_consumer, memberId, poll.Told, _options) is not { } reply)
                continue;
            _polls.Remove(memberId);
            HoldFor(GroupDocuments.Group, poll.Request, reply, memberId);
        }
    }

    private void FailPolls(ErrorCode error, string message)
    {
        foreach (var poll in _polls.Values)
            AnswerNow(poll.Request, error, message);
        _polls.Clear();
    }

    private void AbandonPoll(long requestId)
    {
        foreach (var (memberId, poll) in _polls)
        {
            if (poll.Request.RequestId != requestId)
                continue;
            _polls.Remove(memberId);
            Touch(memberId);
        }
    }

    private sealed record Poll(CoordinatorRequest Request, ConsumerGroupHeartbeat Heartbeat, ToldAssignment Told, DateTimeOffset Until);
}
