using System.Text.Json;
using OrleansMq.State;

namespace OrleansMq.Groups.Coordination;

/// <summary>A group's two documents in a state store, with the etags of what was last read or written. Of <see cref="ReadAsync"/>
/// and <see cref="WriteAsync"/> there is one at a time for each document; <see cref="ReadClaimAsync"/> goes on beside them.</summary>
internal sealed class GroupStore(IStateStore store, string groupId)
{
    private readonly string _groupKey = GroupDocument.KeyOf(groupId);
    private readonly string _offsetsKey = GroupOffsetsDocument.KeyOf(groupId);
    private string? _groupETag;
    private string? _offsetsETag;
    // The offsets that were last read or written, and who wrote them: an object, so that it is seen as a whole from another thread.
    private StoredClaim? _offsetsClaim;

    /// <summary>Reads both documents.</summary>
    /// <exception cref="CorruptStateException">One is damaged.</exception>
    public async Task<StoredGroup> ReadAsync(CancellationToken cancellationToken)
    {
        var group = await store.ReadAsync(_groupKey, cancellationToken).ConfigureAwait(false);
        var offsets = await store.ReadAsync(_offsetsKey, cancellationToken).ConfigureAwait(false);
        var read = new StoredGroup(Parse(_groupKey, group, GroupDocument.Parse), Parse(_offsetsKey, offsets, GroupOffsetsDocument.Parse));
        (_groupETag, _offsetsETag) = (group?.ETag, offsets?.ETag);
        return read;
    }

    /// <summary>Reads who wrote the offsets that are stored; null where there are none.</summary>
    /// <exception cref="CorruptStateException">They are damaged.</exception>
    public async Task<CoordinatorClaim?> ReadClaimAsync(CancellationToken cancellationToken)
    {
        var offsets = await store.ReadAsync(_offsetsKey, cancellationToken).ConfigureAwait(false);
        // What we wrote ourselves last need not be parsed: that is nearly always so.
        return Volatile.Read(ref _offsetsClaim) is { } known && known.ETag == offsets?.ETag
            ? known.Coordinator : Parse(_offsetsKey, offsets, GroupOffsetsDocument.Parse)?.Coordinator;
    }

    /// <summary>Writes or deletes a document, if it still is what was last read or written.</summary>
    public async Task WriteAsync(Store write)
    {
        switch (write)
        {
            case { Document: GroupDocumentKind.Group, Group: { } group }:
                _groupETag = await store.WriteAsync(_groupKey, group.ToBytes(), _groupETag).ConfigureAwait(false);
                break;
            case { Document: GroupDocumentKind.Group }:
                await store.DeleteAsync(_groupKey, _groupETag).ConfigureAwait(false);
                _groupETag = null;
                break;
            case { Document: GroupDocumentKind.Offsets, Offsets: { } offsets }:
                _offsetsETag = await store.WriteAsync(_offsetsKey, offsets.ToDocument().ToBytes(), _offsetsETag).ConfigureAwait(false);
                Volatile.Write(ref _offsetsClaim, new StoredClaim(_offsetsETag, offsets.Coordinator));
                break;
            case { Document: GroupDocumentKind.Offsets }:
                await store.DeleteAsync(_offsetsKey, _offsetsETag).ConfigureAwait(false);
                _offsetsETag = null;
                break;
            default:
                throw new ArgumentException($"No document of a group: {write.Document}.", nameof(write));
        }
    }

    private sealed record StoredClaim(string ETag, CoordinatorClaim Coordinator);

    private delegate T Parser<T>(ReadOnlySpan<byte> bytes);

    private static T? Parse<T>(string key, StateDocument? stored, Parser<T> parse) where T : class
    {
        try
        {
            return stored is null ? null : parse(stored.Value.Span);
        }
        catch (JsonException exception)
        {
            throw new CorruptStateException(key, exception);
        }
    }
}
