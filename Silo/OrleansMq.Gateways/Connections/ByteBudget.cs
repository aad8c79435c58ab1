namespace OrleansMq.Gateways.Connections;

/// <summary>Bounds the bytes in use at a time. Callers that ask for more wait in order. A request above the whole budget is granted once
/// nothing is in use, so that nothing waits forever. Thread safe.</summary>
/// <param name="max">The budget in bytes.</param>
internal sealed class ByteBudget(long max)
{
    private readonly Lock _lock = new();
    private readonly LinkedList<(long Bytes, TaskCompletionSource Granted)> _waiting = [];
    private long _used;

    /// <summary>Bytes in use.</summary>
    public long Used => Interlocked.Read(ref _used);

    /// <summary>Callers that wait.</summary>
    public int Waiting
    {
        get
        {
            lock (_lock)
                return _waiting.Count;
        }
    }

    /// <summary>Takes bytes, once as many are free.</summary>
    public ValueTask TakeAsync(long bytes, CancellationToken cancellationToken)
    {
        lock (_lock)
        {
            if (_waiting.Count == 0 && Fits(bytes))
            {
                _used += bytes;
                return default;
            }
            var node = _waiting.AddLast((bytes, new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously)));
            return new ValueTask(WaitAsync(node, cancellationToken));
        }
    }

    /// <summary>Returns bytes.</summary>
    public void Return(long bytes)
    {
        lock (_lock)
        {
            _used -= bytes;
            GrantWaiting();
        }
    }

    private bool Fits(long bytes) => _used == 0 || _used + bytes <= max;

    private void GrantWaiting()
    {
        while (_waiting.First is { } first && Fits(first.Value.Bytes))
        {
            _used += first.Value.Bytes;
            _waiting.RemoveFirst();
            first.Value.Granted.SetResult();
        }
    }

    private async Task WaitAsync(LinkedListNode<(long Bytes, TaskCompletionSource Granted)> node, CancellationToken cancellationToken)
    {
        await using var registration = cancellationToken.UnsafeRegister(_ => GiveUp(node, cancellationToken), null).ConfigureAwait(false);
        await node.Value.Granted.Task.ConfigureAwait(false);
    }

    private void GiveUp(LinkedListNode<(long Bytes, TaskCompletionSource Granted)> node, CancellationToken cancellationToken)
    {
        lock (_lock)
        {
            if (node.List is null)
                return;
            _waiting.Remove(node);
            node.Value.Granted.SetCanceled(cancellationToken);
            GrantWaiting();
        }
    }
}
