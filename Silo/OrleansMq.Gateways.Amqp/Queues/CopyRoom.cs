namespace OrleansMq.Gateways.Amqp.Queues;

/// <summary>
/// Bounds the bytes of copies of messages that are under way to queues. A copy enters where it fits, or where there is no other: one of any
/// size gets its turn. Those that wait enter in their order, so that a large one is not passed for ever. Thread safe.
/// <code>
/// waiting -- there is room, and none waits before it --> under way
/// waiting -- withdrawn                               --> gone
/// </code>
/// </summary>
/// <param name="limit">The most bytes under way, unless one copy alone has more.</param>
internal sealed class CopyRoom(long limit)
{
    private readonly Lock _lock = new();
    private readonly LinkedList<Copy> _waiting = new();
    private readonly Dictionary<Task, LinkedListNode<Copy>> _places = [];
    private long _bytes;
    private long _mostBytes;

    /// <summary>The most bytes that were under way at once.</summary>
    public long MostBytes => Interlocked.Read(ref _mostBytes);

    /// <summary>The number of copies that wait.</summary>
    public int Waiting
    {
        get
        {
            lock (_lock)
                return _waiting.Count;
        }
    }

    /// <summary>Lets a copy in, or has it wait.</summary>
    /// <param name="bytes">Its bytes, as <see cref="Exit"/> is told.</param>
    /// <returns>Completes once it is in.</returns>
    public Task EnterAsync(long bytes)
    {
        lock (_lock)
        {
            if (_waiting.Count == 0 && TryTake(bytes))
                return Task.CompletedTask;
            var place = _waiting.AddLast(new Copy(bytes));
            _places.Add(place.Value.Task, place);
            return place.Value.Task;
        }
    }

    /// <summary>Lets a copy in if it need not wait.</summary>
    /// <param name="bytes">Its bytes, as <see cref="Exit"/> is told.</param>
    /// <returns>Whether it is in.</returns>
    public bool TryEnter(long bytes)
    {
        lock (_lock)
            return _waiting.Count == 0 && TryTake(bytes);
    }

    /// <summary>Gives up a wait.</summary>
    /// <param name="entry">What <see cref="EnterAsync"/> returned.</param>
    /// <returns>Whether the copy is out; if not, it has come in meanwhile.</returns>
    public bool TryWithdraw(Task entry)
    {
        List<Copy>? entered;
        lock (_lock)
        {
            if (!_places.Remove(entry, out var place))
                return false;
            _waiting.Remove(place);
            entered = TakeWaiting();
        }
        entered?.ForEach(static copy => copy.SetResult());
        return true;
    }

    /// <summary>A copy that came in is stored, or lost.</summary>
    /// <param name="bytes">Its bytes.</param>
    public void Exit(long bytes)
    {
        List<Copy>? entered;
        lock (_lock)
        {
            _bytes -= bytes;
            entered = TakeWaiting();
        }
        entered?.ForEach(static copy => copy.SetResult());
    }

    // Under the lock.
    private List<Copy>? TakeWaiting()
    {
        List<Copy>? entered = null;
        while (_waiting.First is { } next && TryTake(next.Value.Bytes))
        {
            (entered ??= []).Add(next.Value);
            _places.Remove(next.Value.Task);
            _waiting.RemoveFirst();
        }
        return entered;
    }

    // Under the lock.
    private bool TryTake(long bytes)
    {
        if (_bytes > 0 && _bytes + bytes > limit)
            return false;
        _bytes += bytes;
        _mostBytes = Math.Max(_mostBytes, _bytes);
        return true;
    }

    private sealed class Copy(long bytes) : TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously)
    {
        /// <summary>Its bytes.</summary>
        public long Bytes => bytes;
    }
}
