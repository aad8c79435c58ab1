namespace OrleansMq.Grains.Coordination;

/// <summary>The calls that wait in one activation, with their callers. Thread safe.</summary>
internal sealed class CallerWaits
{
    private readonly Lock _lock = new();
    private readonly Dictionary<CancellationTokenSource, GrainId> _waiting = [];

    /// <summary>Enters a call; <see cref="End"/> removes it.</summary>
    /// <param name="caller">The caller.</param>
    /// <param name="cancellationToken">The call's own.</param>
    /// <returns>Cancelled when the caller is gone, or cancels.</returns>
    public CancellationTokenSource Begin(GrainId caller, CancellationToken cancellationToken)
    {
        var wait = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken);
        lock (_lock)
            _waiting.Add(wait, caller);
        return wait;
    }

    /// <summary>Removes a call that has ended.</summary>
    public void End(CancellationTokenSource wait)
    {
        lock (_lock)
            _waiting.Remove(wait);
    }

    /// <summary>The callers whose calls wait.</summary>
    public IReadOnlyList<GrainId> Callers
    {
        get
        {
            lock (_lock)
                return [.. _waiting.Values.Distinct()];
        }
    }

    /// <summary>Cancels the calls of a caller that is gone.</summary>
    public void Abandon(GoneCaller gone)
    {
        lock (_lock)
        {
            foreach (var (wait, caller) in _waiting)
            {
                if (gone.Is(caller))
                    _ = wait.CancelAsync(); // Those who wait go on outside the lock.
            }
        }
    }
}
