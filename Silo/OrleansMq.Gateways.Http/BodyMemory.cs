namespace OrleansMq.Gateways.Http;

/// <summary>
/// Bounds the memory of all raw batches that are being received and appended. Requests beyond it wait in order; their clients see a
/// connection that accepts no more bytes.
/// </summary>
/// <param name="bytes">The bound.</param>
internal sealed class BodyMemory(long bytes)
{
    /// <summary>256 MiB: hundreds of ordinary batches at once, or two of the largest.</summary>
    public const long DefaultBytes = 256L << 20;

    private readonly Lock _lock = new();
    private readonly Queue<(long Bytes, TaskCompletionSource Granted)> _waiting = new();
    private long _free = bytes;

    /// <summary>Reserves memory once it is available and all earlier callers have theirs; release it with <see cref="Return"/>.</summary>
    public Task TakeAsync(long wanted)
    {
        lock (_lock)
        {
            if (_waiting.Count == 0 && wanted <= _free)
            {
                _free -= wanted;
                return Task.CompletedTask;
            }
            var turn = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
            _waiting.Enqueue((wanted, turn));
            return turn.Task;
        }
    }

    /// <summary>Releases memory.</summary>
    public void Return(long taken)
    {
        lock (_lock)
        {
            _free += taken;
            while (_waiting.TryPeek(out var next) && next.Bytes <= _free)
            {
                _free -= next.Bytes;
                _waiting.Dequeue().Granted.SetResult();
            }
        }
    }
}
