namespace OrleansMq.Client;

/// <summary>Takes the next record of those that were fetched, if there is one.</summary>
internal delegate bool TryReadRecord<TKey, TValue>(out ConsumeResult<TKey, TValue> record);

/// <summary>Reads that wait until a record has come. For one caller at a time.</summary>
/// <param name="buffer">What is waited for.</param>
/// <param name="time">What limited waits are measured with.</param>
/// <param name="tryRead">Takes a record from the buffer.</param>
internal sealed class RecordReads<TKey, TValue>(FetchBuffer buffer, TimeProvider time, TryReadRecord<TKey, TValue> tryRead)
{
    /// <summary>The next record; waits until there is one. Without a wait where it has come already.</summary>
    public ValueTask<ConsumeResult<TKey, TValue>> ReadAsync(CancellationToken cancellationToken)
    {
        if (cancellationToken.IsCancellationRequested)
            return ValueTask.FromCanceled<ConsumeResult<TKey, TValue>>(cancellationToken);
        return tryRead(out var record) ? new ValueTask<ConsumeResult<TKey, TValue>>(record) : WaitAndReadAsync(cancellationToken);
    }

    /// <summary>The next record, or null if there is none within <paramref name="maxWait"/>; zero looks only at what was fetched.</summary>
    public async ValueTask<ConsumeResult<TKey, TValue>?> ReadAsync(TimeSpan maxWait, CancellationToken cancellationToken)
    {
        cancellationToken.ThrowIfCancellationRequested();
        if (tryRead(out var record))
            return record;
        if (maxWait == TimeSpan.Zero)
            return null;
        using var deadline = new CancellationTokenSource(maxWait, time);
        using var either = CancellationTokenSource.CreateLinkedTokenSource(deadline.Token, cancellationToken);
        try
        {
            return await WaitAndReadAsync(either.Token).ConfigureAwait(false);
        }
        catch (OperationCanceledException) when (deadline.IsCancellationRequested && !cancellationToken.IsCancellationRequested)
        {
            return null;
        }
    }

    private async ValueTask<ConsumeResult<TKey, TValue>> WaitAndReadAsync(CancellationToken cancellationToken)
    {
        while (true)
        {
            await buffer.WaitAsync(cancellationToken).ConfigureAwait(false);
            if (tryRead(out var record))
                return record;
        }
    }
}
