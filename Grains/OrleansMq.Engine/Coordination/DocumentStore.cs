using System.Text.Json;
using OrleansMq.State;

namespace OrleansMq.Coordination;

/// <summary>The documents of one coordinator in a state store, with the etags of what was last read or written. Of <see cref="ReadAsync"/>
/// and <see cref="WriteAsync"/> there is one at a time for each document; <see cref="ReadClaimAsync"/> may run beside them.</summary>
internal sealed class DocumentStore(IStateStore store, CoordinatorKind kind, string id)
{
    private readonly string[] _keys = [.. kind.Documents.Select(document => $"{document.StoreType}/{id}")];
    private readonly string?[] _etags = new string?[kind.Documents.Count];
    // The claim in the last document, as last written: an object, so that another thread sees it as a whole.
    private StoredClaim? _lastClaim;

    /// <summary>Reads all documents.</summary>
    /// <exception cref="CorruptStateException">One is damaged.</exception>
    public async Task<StoredDocuments> ReadAsync(CancellationToken cancellationToken)
    {
        var stored = new StateDocument?[_keys.Length];
        for (var document = 0; document < stored.Length; document++)
            stored[document] = await store.ReadAsync(_keys[document], cancellationToken).ConfigureAwait(false);
        var read = kind.Collect([.. stored.Select((found, document) => Parse(document, found))]);
        for (var document = 0; document < stored.Length; document++)
            _etags[document] = stored[document]?.ETag;
        return read;
    }

    /// <summary>Reads the claim in the last document; null where there is no such document.</summary>
    /// <exception cref="CorruptStateException">The document is damaged.</exception>
    public async Task<CoordinatorClaim?> ReadClaimAsync(CancellationToken cancellationToken)
    {
        var last = await store.ReadAsync(_keys[^1], cancellationToken).ConfigureAwait(false);
        // What this coordinator wrote last need not be parsed: that is nearly always so.
        return Volatile.Read(ref _lastClaim) is { } known && known.ETag == last?.ETag
            ? known.Coordinator : Parse(_keys.Length - 1, last)?.Coordinator;
    }

    /// <summary>Writes or deletes a document, if it still is what was last read or written.</summary>
    public async Task WriteAsync(Store write)
    {
        if (write.Content is not { } content)
        {
            await store.DeleteAsync(_keys[write.Document], _etags[write.Document]).ConfigureAwait(false);
            _etags[write.Document] = null;
            return;
        }
        var written = await store.WriteAsync(_keys[write.Document], content.ToBytes(), _etags[write.Document]).ConfigureAwait(false);
        _etags[write.Document] = written;
        if (write.Document == _keys.Length - 1)
            Volatile.Write(ref _lastClaim, new StoredClaim(written, content.Coordinator));
    }

    private IOwnedDocument? Parse(int document, StateDocument? stored)
    {
        try
        {
            return stored is null ? null : kind.Documents[document].Parse(stored.Value);
        }
        catch (JsonException exception)
        {
            throw new CorruptStateException(_keys[document], exception);
        }
    }

    private sealed record StoredClaim(string ETag, CoordinatorClaim Coordinator);
}
