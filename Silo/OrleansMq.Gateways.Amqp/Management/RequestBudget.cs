namespace OrleansMq.Gateways.Amqp.Management;

/// <summary>Memory that requests share: of messages in answers that are not sent yet, or of definitions that are imported. Thread
/// safe.</summary>
/// <param name="max">The most bytes: as many as the largest message, or the largest definitions, take alone, at least.</param>
internal sealed class RequestBudget(long max)
{
    private long _used;

    /// <summary>The bytes in use.</summary>
    public long Used => Interlocked.Read(ref _used);

    /// <summary>Begins a request that takes some of it.</summary>
    public RequestLease Begin() => new(this);

    /// <summary>Takes bytes. Returns whether as many were free.</summary>
    public bool TryTake(long bytes)
    {
        if (Interlocked.Add(ref _used, bytes) <= max)
            return true;
        Return(bytes);
        return false;
    }

    /// <summary>Returns bytes.</summary>
    public void Return(long bytes) => Interlocked.Add(ref _used, -bytes);
}

/// <summary>What one request has taken of the budget.</summary>
/// <param name="budget">The budget.</param>
internal sealed class RequestLease(RequestBudget budget) : IDisposable
{
    private long _taken;

    /// <summary>The bytes that it has taken.</summary>
    public long Taken => Interlocked.Read(ref _taken);

    /// <summary>Takes bytes. Returns whether as many were free.</summary>
    public bool TryTake(long bytes)
    {
        if (!budget.TryTake(bytes))
            return false;
        Interlocked.Add(ref _taken, bytes);
        return true;
    }

    /// <inheritdoc/>
    public void Dispose() => budget.Return(Interlocked.Exchange(ref _taken, 0));
}
