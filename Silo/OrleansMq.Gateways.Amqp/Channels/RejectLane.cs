using OrleansMq.Gateways.Amqp.Queues;

namespace OrleansMq.Gateways.Amqp.Channels;

/// <summary>
/// The deliveries of a channel that become dead letters, in their order. The letter of one that is in memory begins at once, unless one
/// before it has to be read from its queue: those are read one after the other, no more than 1 MiB ahead of what is stored. Thread safe.
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

    /// <summary>Ends a delivery. Completes when that is stored; fails where it is not known to be.</summary>
    public Task AddAsync(Rejection rejection)
    {
        lock (_lock)
        {
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

    private async Task RunAsync()
    {
        while (TryTake(out var rejection))
        {
            if (!rejection.IsRead)
            {
                _ = BeginAsync(rejection, new Rejected(rejection.Delivery.Message, IsGone: false));
                continue;
            }
            var rejected = await read(rejection.Delivery).ConfigureAwait(false);
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
    /// <summary>Whether its message has to be read from its queue. Without an exchange for letters nobody needs it.</summary>
    public bool IsRead => Delivery.Message is null && Delivery.Entry.Settings.DeadLetterExchange is not null;

    /// <summary>Completes when it has ended.</summary>
    public TaskCompletionSource Ended { get; } = new(TaskCreationOptions.RunContinuationsAsynchronously);
}

/// <summary>The message of a delivery that becomes a dead letter.</summary>
/// <param name="Message">The message; null: there is none, or it cannot be read now.</param>
/// <param name="IsGone">Whether the queue has it no more.</param>
internal readonly record struct Rejected(AmqpMessage? Message, bool IsGone);
