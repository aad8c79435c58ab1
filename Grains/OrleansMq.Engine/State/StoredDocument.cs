using System.Text.Json;
using System.Text.Json.Serialization.Metadata;

namespace OrleansMq.State;

/// <summary>
/// One document of a state store, with its last known content. After a write with an unknown outcome, the next access reads the stored
/// document again. Not thread-safe: its owner serializes access.
/// </summary>
internal sealed class StoredDocument<T>(IStateStore store, string key, JsonTypeInfo<T> type) : IDocument<T> where T : class
{
    private bool _isKnown;
    private string? _etag;
    private T? _value;

    /// <inheritdoc/>
    public async ValueTask<T?> ReadAsync()
    {
        if (_isKnown)
            return _value;
        var stored = await store.ReadAsync(key).ConfigureAwait(false);
        (_value, _etag) = stored is null ? (null, null) : (stored.Parse(key, type), stored.ETag);
        _isKnown = true;
        return _value;
    }

    /// <inheritdoc/>
    public async Task WriteAsync(T value)
    {
        await ReadAsync().ConfigureAwait(false);
        _isKnown = false;
        _etag = await store.WriteAsync(key, JsonSerializer.SerializeToUtf8Bytes(value, type), _etag).ConfigureAwait(false);
        (_value, _isKnown) = (value, true);
    }

    /// <inheritdoc/>
    public async Task DeleteAsync()
    {
        await ReadAsync().ConfigureAwait(false);
        _isKnown = false;
        await store.DeleteAsync(key, _etag).ConfigureAwait(false);
        (_value, _etag, _isKnown) = (null, null, true);
    }
}
