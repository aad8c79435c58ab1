namespace OrleansMq.Gateways.Http.Lines;

/// <summary>
/// Wakes one waiting loop from any thread. The loop takes <see cref="Next"/> first, then checks its conditions, then awaits; so it misses
/// no signal in between.
/// </summary>
internal sealed class WakeUp
{
    private TaskCompletionSource _next = new(TaskCreationOptions.RunContinuationsAsynchronously);

    /// <summary>Completes with the next <see cref="Signal"/>.</summary>
    public Task Next => Volatile.Read(ref _next).Task;

    /// <summary>Wakes the loop.</summary>
    public void Signal() =>
        Interlocked.Exchange(ref _next, new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously)).SetResult();

    /// <summary>Signals once <paramref name="task"/> has completed; the loop observes its failure.</summary>
    public void SignalAfter(Task task) => task.ContinueWith(static (done, wakeUp) =>
    {
        _ = done.Exception;
        ((WakeUp)wakeUp!).Signal();
    }, this, CancellationToken.None, TaskContinuationOptions.ExecuteSynchronously, TaskScheduler.Default);
}
