using System.Text.Json;
using System.Text.Json.Serialization.Metadata;

namespace OrleansMq.State;

/// <summary>
/// Stores small documents with compare-and-swap: topics, catalogue, partition leadership. The contract is that of Orleans' grain storage,
/// so files and PostgreSQL are interchangeable for the engine. Keys are <c>type/name</c>, one document per key. Records are never stored
/// here.
/// </summary>
internal interface IStateStore
{
    /// <summary>Reads a document; returns null if it does not exist.</summary>
    ValueTask<StateDocument?> ReadAsync(string key, CancellationToken cancellationToken = default);

    /// <summary>
    /// Writes the document if the stored one still has <paramref name="etag"/> (null: if none is stored). Durable when it completes.
    /// </summary>
    /// <returns>The new document's etag.</returns>
    /// <exception cref="StateConflictException">The stored etag is different.</exception>
    ValueTask<string> WriteAsync(string key, ReadOnlyMemory<byte> value, string? etag, CancellationToken cancellationToken = default);

    /// <summary>
    /// Writes the document as <see cref="WriteAsync"/> does. <paramref name="value"/> is JSON that a serializer has made, of 60 levels at
    /// most, and nothing changes the array afterwards: a store may keep it, and need not check it.
    /// </summary>
    /// <returns>The new document's etag.</returns>
    /// <exception cref="StateConflictException">The stored etag is different.</exception>
    ValueTask<string> WriteSerializedAsync(string key, byte[] value, string? etag, CancellationToken cancellationToken = default) =>
        WriteAsync(key, value, etag, cancellationToken);

    /// <summary>Deletes the document if it still has <paramref name="etag"/>. A missing document is not an error.</summary>
    /// <exception cref="StateConflictException">The stored etag is different.</exception>
    ValueTask DeleteAsync(string key, string? etag, CancellationToken cancellationToken = default);

    /// <summary>Lists the keys of a type, in no particular order.</summary>
    ValueTask<IReadOnlyList<string>> ListAsync(string type, CancellationToken cancellationToken = default);
}

/// <summary>A stored document.</summary>
/// <param name="Value">UTF-8 JSON.</param>
/// <param name="ETag">Changes with every write.</param>
internal sealed record StateDocument(ReadOnlyMemory<byte> Value, string ETag)
{
    /// <summary>Reads the value.</summary>
    /// <param name="key">The document's key, for the exception.</param>
    /// <param name="type">What it is.</param>
    /// <exception cref="CorruptStateException">It is not that of the type.</exception>
    public T Parse<T>(string key, JsonTypeInfo<T> type)
    {
        try
        {
            return JsonSerializer.Deserialize(Value.Span, type) ?? throw new JsonException("It is null.");
        }
        catch (JsonException malformed)
        {
            throw new CorruptStateException(key, malformed);
        }
    }
}

/// <summary>The store has as many documents as it may. Nothing was written.</summary>
internal sealed class StateLimitException(string message) : Exception(message);

/// <summary>A compare-and-swap failed: the stored document had changed.</summary>
internal sealed class StateConflictException(string key, string? expected, string? stored)
    : Exception($"State '{key}' was changed concurrently: expected etag {expected ?? "none"}, stored {stored ?? "none"}.")
{
    /// <summary>The etag that the writer had read; null if it had found no document.</summary>
    public string? Expected { get; } = expected;

    /// <summary>The stored etag; null for no document.</summary>
    public string? Stored { get; } = stored;
}
