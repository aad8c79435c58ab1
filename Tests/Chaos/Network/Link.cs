namespace OrleansMq.Tests.Chaos.Network;

/// <summary>A link between two silos, which can be cut, reset and delayed. Thread safe.</summary>
internal sealed class Link
{
    private readonly Lock _lock = new();
    private TaskCompletionSource _open = Opened();
    private CancellationTokenSource _reset = new();

    /// <summary>The additional delay of each piece.</summary>
    public TimeSpan Delay { get; set; }

    /// <summary>Cancelled to end the existing connections.</summary>
    public CancellationToken Reset
    {
        get
        {
            lock (_lock)
                return _reset.Token;
        }
    }

    /// <summary>Completes when the link is not cut.</summary>
    public Task Open
    {
        get
        {
            lock (_lock)
                return _open.Task;
        }
    }

    /// <summary>Stops all traffic. Connections stay open, as when a cable is pulled.</summary>
    public void Cut()
    {
        lock (_lock)
        {
            if (_open.Task.IsCompleted)
                _open = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        }
    }

    /// <summary>Resumes the held traffic.</summary>
    public void Heal()
    {
        lock (_lock)
            _open.TrySetResult();
    }

    /// <summary>Resets the existing connections.</summary>
    public void ResetConnections()
    {
        CancellationTokenSource before;
        lock (_lock)
            (before, _reset) = (_reset, new CancellationTokenSource());
        before.Cancel();
    }

    private static TaskCompletionSource Opened()
    {
        var open = new TaskCompletionSource();
        open.SetResult();
        return open;
    }
}
