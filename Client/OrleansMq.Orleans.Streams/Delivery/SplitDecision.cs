using OrleansMq.Consumers;

namespace OrleansMq.Streams;

/// <summary>Decides which subscriptions of a stream leave the shared cursor, and when they may join it again.</summary>
internal static class SplitDecision
{
    // A subscription that is slow again and again changes its cursor once in so many times the time that it may hold others.
    private const int ApartFactor = 10;

    private const int LaterFactor = 3;

    private static readonly TimeSpan LongestApart = TimeSpan.FromMinutes(1);

    /// <summary>Returns how much longer subscriptions with a delivery may hold those without one; zero: they are split.</summary>
    /// <param name="sinceAhead">For how long another subscription of the stream has had nothing more to do; null: none is ahead.</param>
    /// <param name="options">The options.</param>
    public static TimeSpan Left(TimeSpan? sinceAhead, OrleansMqStreamOptions options) => sinceAhead is not { } held ? options.SplitAfter
        : held >= options.SplitAfter ? TimeSpan.Zero : options.SplitAfter - held;

    /// <summary>Whether a subscription that has not served an event is split, so that its further attempts hold no other back.</summary>
    /// <param name="answer">Its answer.</param>
    /// <param name="isAhead">Whether another subscription of the stream has served the event.</param>
    /// <param name="failures">How often the event had failed.</param>
    /// <param name="deliveries">How often it was delivered, with this delivery.</param>
    /// <param name="options">The options.</param>
    /// <param name="failed">How often the event has failed for the subscription after that.</param>
    public static bool IsSplit(DeliveryAnswer answer, bool isAhead, int failures, int deliveries, OrleansMqStreamOptions options,
        out int failed)
    {
        failed = failures;
        if (!isAhead || options.MaxSplits == 0)
            return false;
        // A subscription that is split waits on its own, for as long as it may.
        var decision = DeliveryDecision.Of([answer], failures, deliveries, TimeSpan.Zero, options.Delivery);
        if (decision.Action is not (DeliveryAction.Retry or DeliveryAction.Release) || answer.Outcome == DeliveryOutcome.Waits)
            return false;
        var tries = decision.Action == DeliveryAction.Retry ? failures : deliveries - 1;
        failed = decision.Action == DeliveryAction.Retry ? failures + 1 : failures;
        // What the waits between the attempts take, with the one that comes now.
        var held = TimeSpan.Zero;
        for (var earlier = 0; earlier <= tries && held <= options.SplitAfter; earlier++)
            held += DeliveryDecision.DelayOf(earlier, options.Delivery);
        return held > options.SplitAfter;
    }

    /// <summary>Whether a replay may begin to join the shared cursor.</summary>
    /// <param name="replay">The replay.</param>
    /// <param name="running">For how long this silo has carried it out.</param>
    /// <param name="options">The options.</param>
    public static bool MayJoin(Replay replay, TimeSpan running, OrleansMqStreamOptions options) =>
        !replay.IsSplit || running >= LongestApart || running >= options.SplitAfter * ApartFactor;

    /// <summary>Whether a subscription that joins the shared cursor holds its stream for too long: it is split again.</summary>
    /// <param name="joining">For how long it has joined; null: it does not.</param>
    /// <param name="isNear">Whether this silo leads the partition: others leave it the first turn.</param>
    /// <param name="options">The options.</param>
    public static bool SplitsAgain(TimeSpan? joining, bool isNear, OrleansMqStreamOptions options) =>
        options.MaxSplits > 0 && joining >= options.SplitAfter * (isNear ? 1 : LaterFactor);
}
