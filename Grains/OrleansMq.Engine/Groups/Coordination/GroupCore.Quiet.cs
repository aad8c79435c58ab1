using OrleansMq.Api;
using OrleansMq.Groups.Consumer;

namespace OrleansMq.Groups.Coordination;

public sealed partial class GroupCore
{
    // A write lost against somebody: who coordinates the group is not known before it is read.
    private bool _isContested;

    /// <summary>
    /// The answer to a heartbeat that changes nothing, while the store is away and only offsets are in doubt: members go on, as they would
    /// if nobody had tried to commit. It says what is stored, and nothing that a coordinator who does not write would not say. Null:
    /// refuse.
    /// </summary>
    private object? FindQuietAnswer(IGroupRequest body)
    {
        if (_isContested || !_isGroupClaimed || _groupVersions.IsBehind || _offsetsVersions.Stored < _offsetsVersions.FirstServed)
            return null;
        switch (body)
        {
            case Heartbeat heartbeat when _classic is { } group:
                var reply = _rules.Heartbeat(group, heartbeat);
                return reply.Error == ErrorCode.None ? reply : null;
            case ConsumerGroupHeartbeat heartbeat when _consumer is { } consumers:
                var decision = _rules.Heartbeat(consumers, heartbeat, "", _topics, _now, _options);
                if (!ReferenceEquals(decision.Next.State, consumers.State))
                    return null;
                // Not worth a long poll: the sender waits his interval by himself.
                var answer = decision.Reply ?? ConsumerGroupDecision.AnswerNoNews(consumers, heartbeat, decision.MemberId, _options);
                return answer.Error == ErrorCode.None ? answer : null;
            default:
                return null;
        }
    }
}
