using System.Collections.Immutable;
using OrleansMq.Api;

namespace OrleansMq.Grains.Brokers;

/// <summary>
/// Ends the waits of a client outside the silos when a broker dies. Orleans tells only silos about deaths, so a call to a dead one would
/// last until its timeout, which may be minutes. A call without a prompt answer asks the cluster which brokers are alive. If one has died
/// since the call began, and no answer follows, the call fails as unanswered. If another broker died, this costs only a retry. Thread safe.
/// </summary>
/// <param name="describe">Asks the cluster, through any gateway that answers.</param>
/// <param name="time">The client's clock.</param>
internal sealed class BrokerDeaths(Func<Task<ClusterDescription>> describe, TimeProvider time)
{
    /// <summary>How long a call waits before it asks, and between two requests. An answer takes milliseconds; a death is detected within a
    /// second.</summary>
    internal static readonly TimeSpan Interval = TimeSpan.FromSeconds(2);

    /// <summary>How old the set of live brokers may get while calls are made. It must be recent, so that a death shows as a
    /// difference.</summary>
    private static readonly TimeSpan MaxAge = TimeSpan.FromSeconds(10);

    /// <summary>How long a live broker has to answer after a death was detected.</summary>
    private static readonly TimeSpan Grace = TimeSpan.FromSeconds(1);

    private readonly Lock _lock = new();
    private Task<ImmutableHashSet<int>?> _asked = Task.FromResult<ImmutableHashSet<int>?>(null);
    private long _askedAt;
    private volatile ImmutableHashSet<int>? _alive;

    /// <summary>Returns the call's answer.</summary>
    /// <exception cref="TimeoutException">A broker died, and no answer came.</exception>
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
            throw new TimeoutException($"Broker {string.Join(", ", dead.Order())} died before it answered.");
        }
    }

    // All waiting calls share one request. Null when the cluster does not answer.
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
            // The gateway that is asked may be the broker that died; the next request uses another.
            var cluster = await describe().WaitAsync(Interval, time).ConfigureAwait(false);
            return _alive = [.. cluster.Brokers.Where(broker => broker.State != BrokerState.Dead).Select(broker => broker.BrokerId)];
        }
        catch (Exception unanswered) when (GrainFaults.IsUnanswered(unanswered) || unanswered is BrokerException)
        {
            return null;
        }
    }
}
