namespace OrleansMq.Silo.Http;

/// <summary>
/// The memory that raw batches may take together while they are received and appended. Requests beyond it wait in turn, which their clients
/// see as a connection that takes no more bytes.
/// </summary>
/// <param name="bytes">How much there is.</param>
internal sealed class BodyMemory(long bytes)
{
    /// <summary>256 MiB: hundreds of ordinary batches at once, and two of the largest.</summary>
    public const long DefaultBytes = 256L << 20;

    private readonly Lock _lock = new();
    private readonly Queue<(long Bytes, TaskCompletionSource Turn)> _waiting = new();
    private long _free = bytes;

    /// <summary>Takes memory, when it is there and everybody who came before has theirs; give it back with <see cref="Return"/>.</summary>
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

    /// <summary>Gives memory back.</summary>
    public void Return(long taken)
    {
        lock (_lock)
        {
            _free += taken;
            while (_waiting.TryPeek(out var next) && next.Bytes <= _free)
            {
                _free -= next.Bytes;
                _waiting.Dequeue().Turn.SetResult();
            }
        }
    }
}
