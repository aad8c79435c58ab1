using OrleansMq.Api;
using OrleansMq.Groups.Consumer;

namespace OrleansMq.Groups.Coordination;

public sealed partial class GroupCore
{
    /// <inheritdoc/>
    /// <remarks>The store is away, and only offsets are in doubt. A heartbeat that changes nothing is answered, so that members continue as
    /// they would without a commit. The answer reveals only what is stored.</remarks>
    protected override object? FindAnswerWhileRecovering(ICoordinatorRequest body)
    {
        if (!IsFirstCertain)
            return null;
        switch (body)
        {
            case Heartbeat heartbeat when _classic is { } group:
                var reply = _rules.Heartbeat(group, heartbeat);
                return reply.Error == ErrorCode.None ? reply : null;
            case ConsumerGroupHeartbeat heartbeat when _consumer is { } consumers:
                var decision = _rules.Heartbeat(consumers, heartbeat, "", _topics, Now, _options);
                if (!ReferenceEquals(decision.Next.State, consumers.State))
                    return null;
                // Not worth a long poll: the sender waits its interval by itself.
                var answer = decision.Reply ?? ConsumerGroupDecision.AnswerNoNews(consumers, heartbeat, decision.MemberId, _options);
                return answer.Error == ErrorCode.None ? answer : null;
            default:
                return null;
        }
    }
}
