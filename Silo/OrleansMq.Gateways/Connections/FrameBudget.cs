namespace OrleansMq.Gateways.Connections;

/// <summary>
/// Bounds the memory of the requests on all connections of a gateway. A frame takes memory as its bytes arrive, so a length that a client
/// only announces costs <see cref="RequestFrame.FirstBytes"/> at most. A share of the budget is for frames of up to
/// <see cref="SmallBytes"/>, and another for their first steps alone: they are served while large ones arrive slowly, or wait. One frame at
/// a time may grow beyond the budget. Otherwise frames that hold all of it, and need more each, would wait for each other. Thread safe.
/// </summary>
/// <param name="max">The budget in bytes.</param>
internal sealed class FrameBudget(long max)
{
    /// <summary>The most bytes of a small frame: as many as a topic takes by default.</summary>
    public const int SmallBytes = 1 << 20;

    // One part in so many is for small frames, and another one for their first steps.
    private const int ReservedPart = 8;

    /// <summary>The least budget that an operator may set, in bytes: 8 MiB. Its share for small frames holds one of them.</summary>
    public const long LeastLimit = ReservedPart * SmallBytes;

    private readonly Lock _lock = new();
    // Small and large frames at their first step, and those that grow. A frame that holds memory waits for none that holds nothing yet.
    private readonly LinkedList<Waiter>[] _queues = [[], [], [], []];
    private long _used;
    // The frame that grew beyond the budget, and by how many bytes, which _used does not include.
    private RequestFrame? _beyond;
    private long _beyondBytes;

    /// <summary>Bytes in use.</summary>
    public long Used
    {
        get
        {
            lock (_lock)
                return _used + _beyondBytes;
        }
    }

    /// <summary>Frames that wait for memory.</summary>
    public int Waiting
    {
        get
        {
            lock (_lock)
                return _queues.Sum(static queue => queue.Count);
        }
    }

    /// <summary>Takes the memory of a frame's next step, once it is free.</summary>
    public ValueTask TakeAsync(RequestFrame frame, CancellationToken cancellationToken)
    {
        lock (_lock)
        {
            var queue = _queues[(frame.Taken == 0 ? 0 : 2) + (IsLarge(frame) ? 1 : 0)];
            // The frame beyond the budget waits for no other: they wait for it.
            if ((queue.Count == 0 || frame == _beyond) && TryTake(frame))
                return default;
            frame.IsWaiting = true;
            var node = queue.AddLast(new Waiter(frame, new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously)));
            return new ValueTask(WaitAsync(node, cancellationToken));
        }
    }

    /// <summary>Returns all memory of a frame.</summary>
    public void Return(RequestFrame frame)
    {
        lock (_lock)
        {
            _used -= frame.Taken;
            if (_beyond == frame)
            {
                _used += _beyondBytes;
                (_beyond, _beyondBytes) = (null, 0);
            }
            frame.Taken = 0;
            GrantWaiting();
        }
    }

    private bool TryTake(RequestFrame frame)
    {
        var bytes = frame.NextSize - frame.Taken;
        var isFirst = frame.Taken == 0;
        // Where nothing is in use, a first step is granted even above the budget.
        if (_used + bytes <= LimitOf(frame) || (isFirst && _used == 0))
        {
            _used += bytes;
        }
        else if (!isFirst && (_beyond is null || _beyond == frame))
        {
            _beyond = frame;
            _beyondBytes += bytes;
        }
        else
        {
            return false;
        }
        frame.Taken += bytes;
        return true;
    }

    // One without a length is small until it takes more.
    private static bool IsLarge(RequestFrame frame) => (frame.IsAnnounced ? frame.Length : frame.NextSize) > SmallBytes;

    // What may be in use after a step of this frame.
    private long LimitOf(RequestFrame frame)
    {
        var share = max / ReservedPart;
        return IsLarge(frame) ? max - (2 * share) : frame.Taken == 0 ? max : max - share;
    }

    private void GrantWaiting()
    {
        foreach (var queue in _queues)
            GrantWaiting(queue);
    }

    private void GrantWaiting(LinkedList<Waiter> queue)
    {
        while (queue.First is { } first && TryTake(first.Value.Frame))
        {
            queue.RemoveFirst();
            first.Value.Frame.IsWaiting = false;
            first.Value.Granted.SetResult();
        }
    }

    private async Task WaitAsync(LinkedListNode<Waiter> node, CancellationToken cancellationToken)
    {
        await using var registration = cancellationToken.UnsafeRegister(_ => GiveUp(node, cancellationToken), null).ConfigureAwait(false);
        await node.Value.Granted.Task.ConfigureAwait(false);
    }

    private void GiveUp(LinkedListNode<Waiter> node, CancellationToken cancellationToken)
    {
        lock (_lock)
        {
            if (node.List is not { } queue)
                return;
            queue.Remove(node);
            node.Value.Frame.IsWaiting = false;
            node.Value.Granted.SetCanceled(cancellationToken);
            GrantWaiting();
        }
    }

    private sealed record Waiter(RequestFrame Frame, TaskCompletionSource Granted);
}
