using OrleansMq.Gateways.Amqp.Queues;

namespace OrleansMq.Gateways.Amqp.Channels;

/// <summary>
/// The deliveries of a channel that become dead letters, in their order. The letter of one that is in memory begins at once, unless one
/// before it has to be read from its queue: those are read one after the other, no more than 1 MiB ahead of what is stored. Where one
/// cannot be read, those of its consumer that wait are not tried: they go back to their queue, too. Thread safe.
/// </summary>
/// <param name="read">Reads a delivery's message again.</param>
/// <param name="end">Publishes the letter, and settles the delivery.</param>
internal sealed class RejectLane(Func<Delivery, ValueTask<Rejected>> read, Func<Rejection, Rejected, Task> end)
{
    private const long MostAhead = 1 << 20;

    private readonly Lock _lock = new();
    private readonly Queue<Rejection> _waiting = new();
    // Those that were read, and are not stored.
    private readonly Queue<(Task Ending, long Bytes)> _ahead = new();
    private long _aheadBytes;
    private bool _isRunning;
    private volatile bool _isStopped;

    /// <summary>Ends a delivery. Completes when that is stored; fails where it is not known to be.</summary>
    public Task AddAsync(Rejection rejection)
    {
        lock (_lock)
        {
            if (_isStopped)
                return Task.CompletedTask;
            if (_isRunning || rejection.IsRead)
            {
                _waiting.Enqueue(rejection);
                if (_isRunning)
                    return rejection.Ended.Task;
                _isRunning = true;
            }
        }
        _ = rejection.IsRead ? RunAsync() : BeginAsync(rejection, new Rejected(rejection.Delivery.Message, IsGone: false));
        return rejection.Ended.Task;
    }

    /// <summary>The channel ends: what has not begun returns with its readers, and must not become a letter, too.</summary>
    /// <returns>Those that have not begun.</returns>
    public IReadOnlyList<Rejection> Stop()
    {
        Rejection[] left;
        lock (_lock)
        {
            _isStopped = true;
            left = [.. _waiting];
            _waiting.Clear();
        }
        foreach (var rejection in left)
            rejection.Ended.SetResult();
        return left;
    }

    private async Task RunAsync()
    {
        while (TryTake(out var rejection))
        {
            if (!rejection.IsRead)
            {
                _ = BeginAsync(rejection, new Rejected(rejection.Delivery.Message, IsGone: false));
                continue;
            }
            Rejected rejected;
            try
            {
                rejected = await read(rejection.Delivery).ConfigureAwait(false);
            }
            catch (Exception fault)
            {
                rejection.Ended.SetException(fault);
                continue;
            }
            if (_isStopped)
            {
                rejection.Ended.SetResult();
                continue;
            }
            if (rejected is { Message: null, IsGone: false })
                EndAllOf(rejection.Delivery.Reader);
            var bytes = rejected.Message?.Bytes ?? 0;
            _ahead.Enqueue((BeginAsync(rejection, rejected), bytes));
            _aheadBytes += bytes;
            while (_ahead.TryPeek(out var first) && (_aheadBytes > MostAhead || first.Ending.IsCompleted))
            {
                await first.Ending.ConfigureAwait(false);
                _aheadBytes -= _ahead.Dequeue().Bytes;
            }
        }
    }

    private void EndAllOf(IQueueReader reader)
    {
        List<Rejection> unread = [];
        lock (_lock)
        {
            for (var left = _waiting.Count; left > 0; left--)
            {
                var rejection = _waiting.Dequeue();
                if (rejection.IsRead && rejection.Delivery.Reader == reader)
                    unread.Add(rejection);
                else
                    _waiting.Enqueue(rejection);
            }
        }
        foreach (var rejection in unread)
            _ = BeginAsync(rejection, default);
    }

    private bool TryTake(out Rejection rejection)
    {
        lock (_lock)
            return _isRunning = _waiting.TryDequeue(out rejection!);
    }

    private async Task BeginAsync(Rejection rejection, Rejected rejected)
    {
        try
        {
            await end(rejection, rejected).ConfigureAwait(false);
            rejection.Ended.SetResult();
        }
        catch (Exception fault)
        {
            rejection.Ended.SetException(fault);
        }
    }
}

/// <summary>A delivery that becomes a dead letter.</summary>
/// <param name="Delivery">The delivery.</param>
/// <param name="Reason">Why.</param>
/// <param name="Otherwise">What becomes of it where its letter cannot be stored.</param>
internal sealed record Rejection(Delivery Delivery, DeathReason Reason, Settlement Otherwise)
{
    /// <summary>Whether its message has to be read from its queue. Without an exchange for letters it is not needed.</summary>
    public bool IsRead { get; } = Delivery.Message is null && Delivery.Entry.Settings.DeadLetterExchange is not null;

    /// <summary>Completes when it has ended.</summary>
    public TaskCompletionSource Ended { get; } = new(TaskCreationOptions.RunContinuationsAsynchronously);
}

/// <summary>The message of a delivery that becomes a dead letter.</summary>
/// <param name="Message">The message; null: there is none, or it cannot be read now.</param>
/// <param name="IsGone">Whether the queue has it no more.</param>
internal readonly record struct Rejected(AmqpMessage? Message, bool IsGone);
