using System.Text.Json;
using System.Text.Json.Serialization.Metadata;

namespace OrleansMq.State;

/// <summary>
/// One document of a state store, with what was last read or written of it. After a write that failed without saying whether it was
/// done, the next use reads what is stored. Not thread safe: its owner serializes.
/// </summary>
internal sealed class StoredDocument<T>(IStateStore store, string key, JsonTypeInfo<T> type) where T : class
{
    private bool _isKnown;
    private string? _etag;
    private T? _value;

    /// <summary>What is stored, read where that is not known; null where there is no document.</summary>
    public async ValueTask<T?> ReadAsync()
    {
        if (_isKnown)
            return _value;
        var stored = await store.ReadAsync(key).ConfigureAwait(false);
        (_value, _etag) = stored is null ? (null, null) : (Parse(stored), stored.ETag);
        _isKnown = true;
        return _value;
    }

    /// <summary>Replaces what <see cref="ReadAsync"/> returned; durable when it returns.</summary>
    public async ValueTask WriteAsync(T value)
    {
        await ReadAsync().ConfigureAwait(false);
        _isKnown = false;
        _etag = await store.WriteAsync(key, JsonSerializer.SerializeToUtf8Bytes(value, type), _etag).ConfigureAwait(false);
        (_value, _isKnown) = (value, true);
    }

    /// <summary>Deletes the document.</summary>
    public async ValueTask DeleteAsync()
    {
        await ReadAsync().ConfigureAwait(false);
        _isKnown = false;
        await store.DeleteAsync(key, _etag).ConfigureAwait(false);
        (_value, _etag, _isKnown) = (null, null, true);
    }

    private T Parse(StateDocument stored)
    {
        try
        {
            return JsonSerializer.Deserialize(stored.Value.Span, type) ?? throw new JsonException("It is null.");
        }
        catch (JsonException exception)
        {
            throw new CorruptStateException(key, exception);
        }
    }
}
