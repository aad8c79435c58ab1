using System.Text.Json;
using OrleansMq.State;

namespace OrleansMq.Groups.Coordination;

/// <summary>A group's two documents in a state store, with the etags of what was last read or written. Of reads and writes of one document there is one at a time.</summary>
internal sealed class GroupStore(IStateStore store, string groupId)
{
    private readonly string _groupKey = GroupDocument.KeyOf(groupId);
    private readonly string _offsetsKey = GroupOffsetsDocument.KeyOf(groupId);
    private string? _groupETag;
    private string? _offsetsETag;

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
                break;
            case { Document: GroupDocumentKind.Offsets }:
                await store.DeleteAsync(_offsetsKey, _offsetsETag).ConfigureAwait(false);
                _offsetsETag = null;
                break;
            default:
                throw new ArgumentException($"No document of a group: {write.Document}.", nameof(write));
        }
    }

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
