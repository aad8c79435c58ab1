using OrleansMq.Gateways.Amqp.Alarms;

namespace OrleansMq.Gateways.Amqp.Queues;

/// <summary>
/// The dead letters of a queue in memory: published in their order, some at a time. The memory of a message counts until its letter is
/// stored, or lost. Thread safe.
/// <para>The caller's thread publishes, unless it publishes another letter already: a thread of the pool goes on then. So the stack does
/// not grow with the number of queues that a letter goes through.</para>
/// </summary>
/// <param name="publish">Publishes the letter of a message.</param>
/// <param name="memory">The memory of messages.</param>
internal sealed class LetterLane(Func<AmqpMessage, DeathReason, Task> publish, MemoryBudget memory)
{
    /// <summary>The most letters that are published and not stored.</summary>
    internal const int MaxInFlight = 100;

    // What one turn publishes: the thread of a publisher publishes few for others.
    private const int MaxTurn = 100;

    [ThreadStatic]
    private static bool _isPublishing;

    private readonly Lock _lock = new();
    private readonly Queue<(AmqpMessage Message, DeathReason Reason)> _waiting = new();
    private int _inFlight;
    // A thread publishes, or will.
    private bool _isRunning;

    /// <summary>Publishes letters. Each message is held in memory; the lane releases it.</summary>
    public void Add(List<(AmqpMessage Message, DeathReason Reason)> dead)
    {
        lock (_lock)
        {
            dead.ForEach(_waiting.Enqueue);
            if (!Begins())
                return;
        }
        if (_isPublishing)
            RunOnPool();
        else
            Run();
    }

    // Under the lock.
    private bool Begins() => !_isRunning && (_isRunning = _waiting.Count > 0 && _inFlight < MaxInFlight);

    private void RunOnPool() => ThreadPool.UnsafeQueueUserWorkItem(static lane => lane.Run(), this, preferLocal: false);

    private void Run()
    {
        for (var left = MaxTurn; left > 0; left--)
        {
            if (!TryTake(out var letter))
                return;
            Publish(letter.Message, letter.Reason);
        }
        RunOnPool();
    }

    private bool TryTake(out (AmqpMessage Message, DeathReason Reason) letter)
    {
        lock (_lock)
        {
            if (_inFlight < MaxInFlight && _waiting.TryDequeue(out letter))
            {
                _inFlight++;
                return true;
            }
            _isRunning = false;
        }
        letter = default;
        return false;
    }

    private void Publish(AmqpMessage message, DeathReason reason)
    {
        var wasPublishing = _isPublishing;
        _isPublishing = true;
        Task publishing;
        try
        {
            publishing = publish(message, reason);
        }
        finally
        {
            _isPublishing = wasPublishing;
        }
        if (!publishing.IsCompleted)
        {
            _ = CompleteAsync(publishing, message);
            return;
        }
        lock (_lock)
            _inFlight--;
        message.Release(memory);
    }

    // The thread that stored it publishes no further ones.
    private async Task CompleteAsync(Task publishing, AmqpMessage message)
    {
        await publishing.ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        message.Release(memory);
        lock (_lock)
        {
            _inFlight--;
            if (!Begins())
                return;
        }
        RunOnPool();
    }
}
