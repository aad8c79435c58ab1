using System.Collections.Immutable;
using OrleansMq.Api;

namespace OrleansMq.Grains.Brokers;

/// <summary>
/// Ends the waiting of a client outside of the silos when a broker dies: Orleans tells only silos, so that a call to one that is gone would
/// else end with its time limit, which may be minutes. Whoever waits for longer than an answer takes asks the cluster who lives; where
/// somebody has died since, and no answer comes, the call is given up as not answered. That it was another broker's costs a retry. Thread
/// safe.
/// </summary>
/// <param name="describe">Asks the cluster, by whichever gateway answers.</param>
/// <param name="time">The client's clock.</param>
internal sealed class BrokerDeaths(Func<Task<ClusterDescription>> describe, TimeProvider time)
{
    /// <summary>How long a call waits before it asks, and between two questions: an answer takes milliseconds, a death is known in one
    /// second.</summary>
    internal static readonly TimeSpan Interval = TimeSpan.FromSeconds(2);

    /// <summary>What is known of who lives is asked for again while calls are made, so that a death is seen as one.</summary>
    private static readonly TimeSpan MaxAge = TimeSpan.FromSeconds(10);

    /// <summary>Whoever lives has this long to answer after a death was heard of.</summary>
    private static readonly TimeSpan Grace = TimeSpan.FromSeconds(1);

    private readonly Lock _lock = new();
    private Task<ImmutableHashSet<int>?> _asked = Task.FromResult<ImmutableHashSet<int>?>(null);
    private long _askedAt;
    private volatile ImmutableHashSet<int>? _alive;

    /// <summary>The call's answer.</summary>
    /// <exception cref="TimeoutException">A broker died, and none came.</exception>
    public Task<T> AnswerAsync<T>(Task<T> call)
    {
        if (call.IsCompleted)
            return call;
        _ = AskAsync(MaxAge);
        return WaitAsync(call, _alive);
    }

    private async Task<T> WaitAsync<T>(Task<T> call, ImmutableHashSet<int>? before)
    {
        while (true)
        {
            try
            {
                return await call.WaitAsync(Interval, time).ConfigureAwait(false);
            }
            catch (TimeoutException) when (!call.IsCompleted)
            {
                var alive = await AskAsync(Interval).ConfigureAwait(false);
                if (before is not null && alive is not null && before.Except(alive) is { Count: > 0 } dead)
                    return await AnswerInTimeAsync(call, dead).ConfigureAwait(false);
                before ??= alive;
            }
        }
    }

    private async Task<T> AnswerInTimeAsync<T>(Task<T> call, ImmutableHashSet<int> dead)
    {
        try
        {
            return await call.WaitAsync(Grace, time).ConfigureAwait(false);
        }
        catch (TimeoutException) when (!call.IsCompleted)
        {
            throw new TimeoutException($"Broker {string.Join(", ", dead.Order())} died while it was waited for.");
        }
    }

    // One question for all who wait; null where nobody answers.
    private Task<ImmutableHashSet<int>?> AskAsync(TimeSpan maxAge)
    {
        lock (_lock)
        {
            if (_askedAt == 0 || (_asked.IsCompleted && time.GetElapsedTime(_askedAt) >= maxAge))
                (_asked, _askedAt) = (AskOnceAsync(), time.GetTimestamp() | 1);
            return _asked;
        }
    }

    private async Task<ImmutableHashSet<int>?> AskOnceAsync()
    {
        try
        {
            // The broker that is asked may be the one that died: the next question finds another.
            var cluster = await describe().WaitAsync(Interval, time).ConfigureAwait(false);
            return _alive = [.. cluster.Brokers.Where(broker => broker.State != BrokerState.Dead).Select(broker => broker.BrokerId)];
        }
        catch (Exception unanswered) when (GrainFaults.IsUnanswered(unanswered) || unanswered is BrokerException)
        {
            return null;
        }
    }
}
