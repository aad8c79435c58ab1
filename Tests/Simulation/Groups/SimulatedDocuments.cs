using OrleansMq.Groups.Coordination;

namespace OrleansMq.Tests.Simulation.Groups;

/// <summary>The group's two documents in the store: compare-and-swap, and what they were.</summary>
internal sealed class SimulatedDocuments
{
    /// <summary>A document as it is stored; no version is ever used twice.</summary>
    public readonly record struct Stored<T>(T? Value, long Version) where T : class;

    private long _version;

    public Stored<GroupDocument> Group { get; private set; }
    public Stored<GroupOffsetsDocument> Offsets { get; private set; }

    public long VersionOf(GroupDocumentKind kind) => kind == GroupDocumentKind.Group ? Group.Version : Offsets.Version;

    /// <summary>Writes, or deletes where there is nothing to write, if what is stored is still of that version.</summary>
    public bool TryWrite(Store write, long version)
    {
        if (version != VersionOf(write.Document))
            return false;
        // What is not there has version 0: who has read nothing may create.
        if (write.Document == GroupDocumentKind.Group)
            Group = new(write.Group, write.Group is null ? 0 : ++_version);
        else
            Offsets = new(write.Offsets?.ToDocument(), write.Offsets is null ? 0 : ++_version);
        return true;
    }

    /// <summary>What a reader gets: the bytes that were stored, parsed.</summary>
    public StoredGroup Read() => new(
        Group.Value is { } group ? GroupDocument.Parse(group.ToBytes()) : null,
        Offsets.Value is { } offsets ? GroupOffsetsDocument.Parse(offsets.ToBytes()) : null);
}
