namespace OrleansMq.Client;

/// <summary>
/// The records sent between two flushes, counted by batch. A flush ends the current generation, and waits until it and all earlier ones are
/// done, whatever is sent afterwards.
/// </summary>
internal sealed class FlushGeneration(FlushGeneration? previous)
{
    private readonly TaskCompletionSource _empty = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private FlushGeneration? _previous = previous;
    // Includes one extra while the generation is current, so that it cannot be done before it is ended.
    private int _outstanding = 1;

    /// <summary>Joins the current generation.</summary>
    public static FlushGeneration Join(ref FlushGeneration current)
    {
        while (true)
        {
            var generation = Volatile.Read(ref current);
            if (generation.TryAdd())
                return generation;
            // It was ended, and done, between the two lines: join its successor.
        }
    }

    /// <summary>Starts a new generation. Completes when the old one and all before it are done.</summary>
    public static Task End(ref FlushGeneration current)
    {
        while (true)
        {
            var ended = Volatile.Read(ref current);
            if (Interlocked.CompareExchange(ref current, new FlushGeneration(ended), ended) != ended)
                continue;
            ended.Done();
            return ended.WhenDoneAsync();
        }
    }

    /// <summary>Adds one for a counted item that is split into two.</summary>
    public void AddAnother() => Interlocked.Increment(ref _outstanding);

    /// <summary>Removes what <see cref="Join"/> added.</summary>
    public void Done()
    {
        if (Interlocked.Decrement(ref _outstanding) == 0)
            _empty.TrySetResult();
    }

    private bool TryAdd()
    {
        var outstanding = Volatile.Read(ref _outstanding);
        while (outstanding > 0)
        {
            var seen = Interlocked.CompareExchange(ref _outstanding, outstanding + 1, outstanding);
            if (seen == outstanding)
                return true;
            outstanding = seen;
        }
        return false;
    }

    private async Task WhenDoneAsync()
    {
        if (_previous is { } previous)
            await previous.WhenDoneAsync().ConfigureAwait(false);
        await _empty.Task.ConfigureAwait(false);
        _previous = null;
    }
}
