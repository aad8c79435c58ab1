namespace OrleansMq.State;

/// <summary>A store that creates only so many documents of a type. Those that are there can be changed, and deleted, whatever their number.
/// Thread safe; no other program creates documents in the store.</summary>
/// <param name="store">The store.</param>
/// <param name="type">The type.</param>
/// <param name="most">The most documents of it.</param>
/// <param name="refusal">Why no other is created, and what to do.</param>
internal sealed class BoundedStateStore(IStateStore store, string type, int most, string refusal) : IStateStore
{
    private readonly SemaphoreSlim _gate = new(1, 1);
    // Null: not counted yet.
    private int? _count;

    /// <inheritdoc/>
    public ValueTask<StateDocument?> ReadAsync(string key, CancellationToken cancellationToken = default) =>
        store.ReadAsync(key, cancellationToken);

    /// <inheritdoc/>
    /// <exception cref="StateLimitException">There are too many.</exception>
    public async ValueTask<string> WriteAsync(string key, ReadOnlyMemory<byte> value, string? etag,
        CancellationToken cancellationToken = default)
    {
        if (etag is not null || !IsCounted(key))
            return await store.WriteAsync(key, value, etag, cancellationToken).ConfigureAwait(false);
        await _gate.WaitAsync(cancellationToken).ConfigureAwait(false);
        try
        {
            _count ??= (await store.ListAsync(type, cancellationToken).ConfigureAwait(false)).Count;
            if (_count >= most)
                throw new StateLimitException(refusal);
            var written = await store.WriteAsync(key, value, etag, cancellationToken).ConfigureAwait(false);
            _count++;
            return written;
        }
        catch (Exception fault) when (fault is not StateLimitException)
        {
            // It may have been written.
            _count = null;
            throw;
        }
        finally
        {
            _gate.Release();
        }
    }

    /// <inheritdoc/>
    public async ValueTask DeleteAsync(string key, string? etag, CancellationToken cancellationToken = default)
    {
        if (!IsCounted(key))
        {
            await store.DeleteAsync(key, etag, cancellationToken).ConfigureAwait(false);
            return;
        }
        await _gate.WaitAsync(cancellationToken).ConfigureAwait(false);
        try
        {
            await store.DeleteAsync(key, etag, cancellationToken).ConfigureAwait(false);
            // A document that was missing is no error, and not counted.
            _count = etag is null ? null : _count - 1;
        }
        catch (Exception)
        {
            _count = null;
            throw;
        }
        finally
        {
            _gate.Release();
        }
    }

    /// <inheritdoc/>
    public ValueTask<IReadOnlyList<string>> ListAsync(string type, CancellationToken cancellationToken = default) =>
        store.ListAsync(type, cancellationToken);

    private bool IsCounted(string key) =>
        key.Length > type.Length && key[type.Length] == '/' && key.StartsWith(type, StringComparison.Ordinal);
}
