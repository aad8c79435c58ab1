using OrleansMq.Consumers;

namespace OrleansMq.Streams;

/// <summary>What an answer of an activation says of its subscription.</summary>
internal static class StreamSubscribers
{
    /// <summary>Returns an answer of an activation where the subscription is there. Where the activation has given it up, the event waits:
    /// the subscription is removed soon, or another activation has resumed it and receives the event.</summary>
    public static DeliveryAnswer AnswerOf(DeliveryAnswer answer) => answer.Outcome == DeliveryOutcome.Removed
        ? answer with { Outcome = DeliveryOutcome.Unreachable, Cause = "The activation has given the subscription up: the event waits "
            + "until it is removed, or for the activation that has resumed it." }
        : answer;
}
