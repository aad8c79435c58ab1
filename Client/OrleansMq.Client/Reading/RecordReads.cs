namespace OrleansMq.Client;

/// <summary>Takes the next fetched record, if there is one.</summary>
internal delegate bool TryReadRecord<TKey, TValue>(out ConsumeResult<TKey, TValue> record);

/// <summary>Reads that wait until a record has arrived. Only one caller at a time may use it.</summary>
/// <param name="buffer">The buffer to wait for.</param>
/// <param name="time">The clock for limited waits.</param>
/// <param name="tryRead">Takes a record from the buffer.</param>
internal sealed class RecordReads<TKey, TValue>(FetchBuffer buffer, TimeProvider time, TryReadRecord<TKey, TValue> tryRead)
{
    /// <summary>Reads the next record; waits until there is one. Completes synchronously if it has arrived already.</summary>
    public ValueTask<ConsumeResult<TKey, TValue>> ReadAsync(CancellationToken cancellationToken)
    {
        if (cancellationToken.IsCancellationRequested)
            return ValueTask.FromCanceled<ConsumeResult<TKey, TValue>>(cancellationToken);
        return tryRead(out var record) ? new ValueTask<ConsumeResult<TKey, TValue>>(record) : WaitAndReadAsync(cancellationToken);
    }

    /// <summary>Reads the next record, or returns null if there is none within <paramref name="maxWait"/>. Zero returns only a record that
    /// is already fetched.</summary>
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
