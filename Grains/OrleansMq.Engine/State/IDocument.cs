namespace OrleansMq.State;

/// <summary>One stored document with its last known content. After a write with an unknown outcome, the next use reads it again.</summary>
/// <typeparam name="T">An immutable document.</typeparam>
internal interface IDocument<T> where T : class
{
    /// <summary>Returns the stored document, reading it if its content is not known; null if there is none.</summary>
    ValueTask<T?> ReadAsync();

    /// <summary>Replaces the document that <see cref="ReadAsync"/> returned. Durable when it completes.</summary>
    Task WriteAsync(T next);

    /// <summary>Deletes the document. Durable when it completes.</summary>
    Task DeleteAsync();
}
