using OrleansMq.Gateways.Amqp.Queues;

namespace OrleansMq.Gateways.Amqp.Metrics;

/// <summary>A queue and its messages, when they were looked at.</summary>
/// <param name="VirtualHost">Its virtual host.</param>
/// <param name="Name">Its name.</param>
/// <param name="Counts">Its messages.</param>
/// <param name="Consumers">Its consumers, of all brokers.</param>
internal sealed record CountedQueue(string VirtualHost, string Name, QueueCounts Counts, int Consumers);

/// <summary>
/// The queues that this broker leads or has in memory, as of the last look at them. A reader of metrics causes a look: at most one at a
/// time, and at most every <see cref="LeastInterval"/>. Thread safe.
/// </summary>
/// <param name="time">The clock.</param>
internal sealed class QueueLook(TimeProvider time)
{
    /// <summary>Between two looks at least.</summary>
    public static readonly TimeSpan LeastInterval = TimeSpan.FromSeconds(5);

    // A reader of metrics waits no longer than this; it gets what was seen before.
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(2);

    private readonly Lock _lock = new();
    private Task _look = Task.CompletedTask;
    private long? _lookedAt;
    private IReadOnlyList<CountedQueue> _queues = [];

    /// <summary>What was seen.</summary>
    public IReadOnlyList<CountedQueue> Queues => Volatile.Read(ref _queues);

    /// <summary>Looks where it is time to, and waits a moment.</summary>
    /// <param name="count">Counts the queues.</param>
    /// <param name="ended">The reader has gone, or the broker stops.</param>
    public async ValueTask RefreshAsync(Func<CancellationToken, Task<IReadOnlyList<CountedQueue>>> count, CancellationToken ended)
    {
        Task look;
        lock (_lock)
        {
            if (_look.IsCompleted && (_lookedAt is not { } at || time.GetElapsedTime(at) >= LeastInterval))
                _look = Task.Run(() => LookAsync(count, ended), CancellationToken.None);
            look = _look;
        }
        // What was seen before has to do otherwise.
        await look.WaitAsync(Patience, time, ended).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
    }

    private async Task LookAsync(Func<CancellationToken, Task<IReadOnlyList<CountedQueue>>> count, CancellationToken ended)
    {
        try
        {
            Volatile.Write(ref _queues, await count(ended).ConfigureAwait(false));
        }
        finally
        {
            lock (_lock)
                _lookedAt = time.GetTimestamp();
        }
    }
}
