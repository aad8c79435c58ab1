using OrleansMq.Coordination;
using OrleansMq.Groups.Coordination;

namespace OrleansMq.Tests.Simulation.Groups;

/// <summary>The group's two documents in the store, with compare-and-swap and history.</summary>
internal sealed class SimulatedDocuments
{
    /// <summary>A stored document; versions are never reused.</summary>
    public readonly record struct Stored<T>(T? Value, long Version) where T : class;

    private long _version;
    // What a reader parses of the stored bytes; null: not read since the last write.
    private GroupDocument? _readGroup;
    private GroupOffsetsDocument? _readOffsets;

    public Stored<GroupDocument> Group { get; private set; }
    public Stored<GroupOffsetsDocument> Offsets { get; private set; }

    public long VersionOf(int kind) => kind == GroupDocuments.Group ? Group.Version : Offsets.Version;

    /// <summary>Writes or deletes a document if the stored one still has that version.</summary>
    public bool TryWrite(Store write, long version)
    {
        if (version != VersionOf(write.Document))
            return false;
        // A missing document has version 0, so a writer that has read nothing may create it.
        if (write.Document == GroupDocuments.Group)
        {
            Group = new((GroupDocument?)write.Content, write.Content is null ? 0 : ++_version);
            _readGroup = null;
        }
        else
        {
            Offsets = new((write.Content as GroupOffsetsContent)?.ToDocument(), write.Content is null ? 0 : ++_version);
            _readOffsets = null;
        }
        return true;
    }

    /// <summary>Reads the stored bytes and parses them: each version once. No reader gets the state that another one has, since a core
    /// compares states by reference.</summary>
    public StoredGroup Read() => new(ReadGroup(), ReadOffsets());

    /// <summary>Reads the offsets alone.</summary>
    public GroupOffsetsDocument? ReadOffsets() =>
        Offsets.Value is { } offsets ? _readOffsets ??= GroupOffsetsDocument.Parse(offsets.ToBytes()) : null;

    private GroupDocument? ReadGroup()
    {
        if (Group.Value is not { } group)
            return null;
        _readGroup ??= GroupDocument.Parse(group.ToBytes());
        return _readGroup with
        {
            Classic = _readGroup.Classic is { } classic ? classic with { } : null,
            Consumer = _readGroup.Consumer is { } consumer ? consumer with { } : null,
        };
    }
}
