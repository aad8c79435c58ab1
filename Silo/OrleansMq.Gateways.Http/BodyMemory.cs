namespace OrleansMq.Gateways.Http;

/// <summary>
/// Bounds the memory of all raw batches that are being received and appended. Requests beyond it wait in order; their clients see a
/// connection that accepts no more bytes. A share is for small requests alone, so that slow senders of large ones do not stop everything;
/// while a large one waits, small ones use no more than that share.
/// </summary>
/// <param name="bytes">The bound.</param>
internal sealed class BodyMemory(long bytes)
{
    /// <summary>256 MiB: hundreds of ordinary batches at once, or two of the largest.</summary>
    public const long DefaultBytes = 256L << 20;

    /// <summary>The most bytes of a small request: 1 MiB, as much as a topic takes by default.</summary>
    public const long SmallBytes = 1 << 20;

    // One part in so many is for small requests.
    private const int ReservedPart = 8;

    private readonly Lock _lock = new();
    private readonly Queue<(long Bytes, TaskCompletionSource Granted)> _small = new();
    private readonly Queue<(long Bytes, TaskCompletionSource Granted)> _large = new();
    private readonly long _share = bytes / ReservedPart;
    private long _free = bytes;
    private long _usedBySmall;

    /// <summary>Reserves memory once it is available and all earlier callers of its kind have theirs; release it with
    /// <see cref="Return"/>.</summary>
    public Task TakeAsync(long wanted)
    {
        lock (_lock)
        {
            var queue = wanted <= SmallBytes ? _small : _large;
            if (queue.Count == 0 && TryTake(wanted))
                return Task.CompletedTask;
            var turn = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
            queue.Enqueue((wanted, turn));
            return turn.Task;
        }
    }

    /// <summary>Releases memory.</summary>
    public void Return(long taken)
    {
        lock (_lock)
        {
            _free += taken;
            if (taken <= SmallBytes)
                _usedBySmall -= taken;
            Grant(_large);
            Grant(_small);
        }
    }

    private bool TryTake(long wanted)
    {
        var isSmall = wanted <= SmallBytes;
        // A large one leaves what small ones have not used of their share.
        var reserved = isSmall ? 0 : Math.Max(_share - _usedBySmall, 0);
        if (wanted > _free - reserved || (isSmall && _large.Count > 0 && _usedBySmall + wanted > _share))
            return false;
        _free -= wanted;
        if (isSmall)
            _usedBySmall += wanted;
        return true;
    }

    private void Grant(Queue<(long Bytes, TaskCompletionSource Granted)> queue)
    {
        while (queue.TryPeek(out var next) && TryTake(next.Bytes))
            queue.Dequeue().Granted.SetResult();
    }
}
