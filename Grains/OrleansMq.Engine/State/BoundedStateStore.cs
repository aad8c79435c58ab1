namespace OrleansMq.State;

/// <summary>A store that creates only so many documents of a type. Those that are there can be changed, and deleted, whatever their number.
/// Thread safe; no other program creates documents in the store.</summary>
/// <param name="store">The store.</param>
/// <param name="type">The type.</param>
/// <param name="most">The most documents of it.</param>
/// <param name="refusal">Why no other is created, and what to do.</param>
internal sealed class BoundedStateStore(IStateStore store, string type, int most, string refusal) : IStateStore
{
    private readonly SemaphoreSlim _counting = new(1, 1);
    // Documents, with those that are being created. A creation whose outcome is unknown is not counted.
    private int _count;
    private volatile bool _isCounted;

    /// <inheritdoc/>
    public ValueTask<StateDocument?> ReadAsync(string key, CancellationToken cancellationToken = default) =>
        store.ReadAsync(key, cancellationToken);

    /// <inheritdoc/>
    /// <exception cref="StateLimitException">There are too many.</exception>
    public async ValueTask<string> WriteAsync(string key, ReadOnlyMemory<byte> value, string? etag,
        CancellationToken cancellationToken = default)
    {
        if (etag is not null || !IsOfType(key))
            return await store.WriteAsync(key, value, etag, cancellationToken).ConfigureAwait(false);
        await CountAsync(cancellationToken).ConfigureAwait(false);
        var isCreated = false;
        try
        {
            if (Interlocked.Increment(ref _count) > most)
                throw new StateLimitException(refusal);
            var written = await store.WriteAsync(key, value, etag, cancellationToken).ConfigureAwait(false);
            isCreated = true;
            return written;
        }
        finally
        {
            if (!isCreated)
                Interlocked.Decrement(ref _count);
        }
    }

    /// <inheritdoc/>
    public async ValueTask DeleteAsync(string key, string? etag, CancellationToken cancellationToken = default)
    {
        if (etag is not null && IsOfType(key))
            await CountAsync(cancellationToken).ConfigureAwait(false);
        await store.DeleteAsync(key, etag, cancellationToken).ConfigureAwait(false);
        // Without an etag there was none.
        if (etag is not null && IsOfType(key))
            Interlocked.Decrement(ref _count);
    }

    /// <inheritdoc/>
    public ValueTask<IReadOnlyList<string>> ListAsync(string type, CancellationToken cancellationToken = default) =>
        store.ListAsync(type, cancellationToken);

    private async ValueTask CountAsync(CancellationToken cancellationToken)
    {
        if (_isCounted)
            return;
        await _counting.WaitAsync(cancellationToken).ConfigureAwait(false);
        try
        {
            if (!_isCounted)
                Interlocked.Add(ref _count, (await store.ListAsync(type, cancellationToken).ConfigureAwait(false)).Count);
            _isCounted = true;
        }
        finally
        {
            _counting.Release();
        }
    }

    private bool IsOfType(string key) => FileStateStore.IsOfType(key, type);
}
