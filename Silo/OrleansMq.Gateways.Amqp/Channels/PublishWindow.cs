namespace OrleansMq.Gateways.Amqp.Channels;

/// <summary>Publishes that no queue has answered, in bytes. The next one is taken below the limit. Thread safe.</summary>
/// <param name="limit">The limit in bytes; one publish may exceed it.</param>
internal sealed class PublishWindow(long limit)
{
    private readonly Lock _lock = new();
    private long _bytes;
    private TaskCompletionSource? _room;
    private TaskCompletionSource? _none;

    /// <summary>A publish is on its way.</summary>
    public void Add(long bytes)
    {
        lock (_lock)
            _bytes += bytes;
    }

    /// <summary>A publish is answered.</summary>
    public void Remove(long bytes)
    {
        TaskCompletionSource? room = null;
        TaskCompletionSource? none = null;
        lock (_lock)
        {
            _bytes -= bytes;
            if (_bytes < limit)
                (room, _room) = (_room, null);
            if (_bytes == 0)
                (none, _none) = (_none, null);
        }
        room?.SetResult();
        none?.SetResult();
    }

    /// <summary>Waits until the next publish may be taken.</summary>
    public Task WaitForRoomAsync()
    {
        lock (_lock)
            return _bytes < limit ? Task.CompletedTask : (_room ??= New()).Task;
    }

    /// <summary>Waits until all are answered.</summary>
    public Task WaitForNoneAsync()
    {
        lock (_lock)
            return _bytes == 0 ? Task.CompletedTask : (_none ??= New()).Task;
    }

    private static TaskCompletionSource New() => new(TaskCreationOptions.RunContinuationsAsynchronously);
}
