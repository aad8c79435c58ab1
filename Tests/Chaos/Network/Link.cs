namespace OrleansMq.Tests.Chaos.Network;

/// <summary>What happens to bytes between two silos. Thread safe.</summary>
internal sealed class Link
{
    private readonly Lock _lock = new();
    private TaskCompletionSource _open = Opened();
    private CancellationTokenSource _reset = new();

    /// <summary>How much longer a piece takes.</summary>
    public TimeSpan Delay { get; set; }

    /// <summary>Ends the connections that exist when it is cancelled.</summary>
    public CancellationToken Reset
    {
        get
        {
            lock (_lock)
                return _reset.Token;
        }
    }

    /// <summary>Completes when nothing holds bytes up.</summary>
    public Task Open
    {
        get
        {
            lock (_lock)
                return _open.Task;
        }
    }

    /// <summary>Nothing comes through any more; connections stay, as they do when a cable is pulled.</summary>
    public void Cut()
    {
        lock (_lock)
        {
            if (_open.Task.IsCompleted)
                _open = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        }
    }

    /// <summary>What was held up goes on.</summary>
    public void Heal()
    {
        lock (_lock)
            _open.TrySetResult();
    }

    /// <summary>Breaks the connections there are.</summary>
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
