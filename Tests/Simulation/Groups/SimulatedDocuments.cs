using OrleansMq.Coordination;
using OrleansMq.Groups.Coordination;

namespace OrleansMq.Tests.Simulation.Groups;

/// <summary>The group's two documents in the store, with compare-and-swap and history.</summary>
internal sealed class SimulatedDocuments
{
    /// <summary>A stored document; versions are never reused.</summary>
    public readonly record struct Stored<T>(T? Value, long Version) where T : class;

    private long _version;

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
            Group = new((GroupDocument?)write.Content, write.Content is null ? 0 : ++_version);
        else
            Offsets = new((write.Content as GroupOffsetsContent)?.ToDocument(), write.Content is null ? 0 : ++_version);
        return true;
    }

    /// <summary>Reads the stored bytes and parses them.</summary>
    public StoredGroup Read() => new(
        Group.Value is { } group ? GroupDocument.Parse(group.ToBytes()) : null,
        Offsets.Value is { } offsets ? GroupOffsetsDocument.Parse(offsets.ToBytes()) : null);
}
