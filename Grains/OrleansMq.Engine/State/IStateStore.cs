namespace OrleansMq.State;

/// <summary>
/// Small documents with compare-and-swap: topics, catalogue, partition leadership. The same contract as Orleans' grain storage, so that the
/// engine cannot tell a file store from PostgreSQL. Keys are <c>type/name</c>: one document a key. Records never live here.
/// </summary>
public interface IStateStore
{
    /// <summary>The document, or null where there is none.</summary>
    ValueTask<StateDocument?> ReadAsync(string key, CancellationToken cancellationToken = default);

    /// <summary>
    /// Writes the document if what is stored still has <paramref name="etag"/> (null: if nothing is stored). Durable when it returns.
    /// </summary>
    /// <returns>The new document's etag.</returns>
    /// <exception cref="StateConflictException">Something else is stored.</exception>
    ValueTask<string> WriteAsync(string key, ReadOnlyMemory<byte> value, string? etag, CancellationToken cancellationToken = default);

    /// <summary>Deletes the document if it still has <paramref name="etag"/>; one that is not there is fine.</summary>
    /// <exception cref="StateConflictException">Something else is stored.</exception>
    ValueTask DeleteAsync(string key, string? etag, CancellationToken cancellationToken = default);

    /// <summary>The keys of a type, in no particular order.</summary>
    ValueTask<IReadOnlyList<string>> ListAsync(string type, CancellationToken cancellationToken = default);
}

/// <summary>A stored document.</summary>
/// <param name="Value">UTF-8 JSON.</param>
/// <param name="ETag">Changes with every write.</param>
public sealed record StateDocument(ReadOnlyMemory<byte> Value, string ETag);

/// <summary>A compare-and-swap that lost.</summary>
public sealed class StateConflictException(string key, string? expected, string? stored)
    : Exception($"State '{key}' changed meanwhile: expected etag {expected ?? "none"}, stored {stored ?? "none"}.")
{
    /// <summary>The etag the writer had read; null where it had found nothing.</summary>
    public string? Expected { get; } = expected;

    /// <summary>The etag of what is stored; null where nothing is.</summary>
    public string? Stored { get; } = stored;
}
