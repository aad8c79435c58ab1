namespace OrleansMq.Gateways.Amqp.Management;

/// <summary>The memory of messages in answers that are not sent yet. All requests share it. Thread safe.</summary>
/// <param name="max">The most bytes: as many as the largest message takes alone, at least.</param>
internal sealed class AnswerBudget(long max)
{
    private long _used;

    /// <summary>The bytes in use.</summary>
    public long Used => Interlocked.Read(ref _used);

    /// <summary>Begins an answer.</summary>
    public AnswerLease Begin() => new(this);

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

/// <summary>What one answer has taken of the budget, until it is sent.</summary>
/// <param name="budget">The budget.</param>
internal sealed class AnswerLease(AnswerBudget budget) : IDisposable
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
