using OrleansMq.Coordination;
using OrleansMq.Groups.Coordination;

namespace OrleansMq.Tests.Engine.Groups;

/// <summary>The outcome of a write to the <see cref="ScriptedStore"/>.</summary>
internal enum WriteOutcome
{
    /// <summary>Stored and acknowledged.</summary>
    Stored,
    /// <summary>Refused.</summary>
    Refused,
    /// <summary>Stored, but reported as failed.</summary>
    StoredUnheard,
}

/// <summary>The two documents of one group with compare-and-swap, for several cores. Bytes are written and parsed, as in a real
/// store.</summary>
internal sealed class ScriptedStore
{
    private readonly Dictionary<int, (byte[] Bytes, long ETag)> _documents = [];
    private long _lastETag;

    public int Writes { get; private set; }

    /// <summary>Returns the bytes of a document; null if there is none.</summary>
    public byte[]? this[int kind] => _documents.TryGetValue(kind, out var found) ? found.Bytes : null;

    public long? ETagOf(int kind) => _documents.TryGetValue(kind, out var found) ? found.ETag : null;

    public StoredGroup Read() => new(
        this[GroupDocuments.Group] is { } group ? GroupDocument.Parse(group) : null,
        this[GroupDocuments.Offsets] is { } offsets ? GroupOffsetsDocument.Parse(offsets) : null);

    /// <summary>Writes or deletes if the stored etag matches. Returns the new etag, or false for a conflict.</summary>
    public bool TryWrite(Store write, long? etag, out long? next)
    {
        next = ETagOf(write.Document);
        if (next != etag)
            return false;
        Writes++;
        var bytes = write.Content?.ToBytes();
        if (bytes is null)
        {
            _documents.Remove(write.Document);
            next = null;
            return true;
        }
        _documents[write.Document] = (bytes, ++_lastETag);
        next = _lastETag;
        return true;
    }
}
