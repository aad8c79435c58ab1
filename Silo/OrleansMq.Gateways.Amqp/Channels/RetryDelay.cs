using OrleansMq.Gateways.Amqp.Queues;
using OrleansMq.VirtualHosts;

namespace OrleansMq.Gateways.Amqp.Channels;

/// <summary>Delayed retry of quorum queues: how long a message that a consumer gives back waits.</summary>
internal static class RetryDelay
{
    /// <summary>The shortest wait where the queue does not say.</summary>
    public static readonly TimeSpan DefaultMin = TimeSpan.FromSeconds(1);

    /// <summary>Returns the wait: the shortest times the failures, up to the longest.</summary>
    /// <param name="settings">The queue's settings.</param>
    /// <param name="hold">The message's hold.</param>
    /// <param name="isFailure">Whether the return counts as a failure.</param>
    public static TimeSpan Of(QueueSettings settings, MessageHold hold, bool isFailure)
    {
        if (settings.DelayedRetry != DelayedRetry.All
            && settings.DelayedRetry != (isFailure ? DelayedRetry.Failed : DelayedRetry.Returned))
            return TimeSpan.Zero;
        var failures = Math.Max(hold.Failures + (isFailure ? 1 : 0), 1);
        var most = settings.DelayedRetryMax ?? TimeSpan.MaxValue;
        var least = settings.DelayedRetryMin ?? DefaultMin;
        return least > most / failures ? most : least * failures;
    }
}
