using OrleansMq.Coordination;

namespace OrleansMq.Groups.Coordination;

/// <summary>The two documents of a group. The first exists as long as the group.</summary>
public static class GroupDocuments
{
    /// <summary>The position of <see cref="GroupDocument"/>: members and generation.</summary>
    public const int Group = 0;

    /// <summary>The position of <see cref="GroupOffsetsDocument"/>: committed offsets.</summary>
    public const int Offsets = 1;

    /// <summary>The kind of coordinator that groups have.</summary>
    public static CoordinatorKind Kind { get; } = new("group",
        [
            new DocumentKind("Group", "members", GroupDocument.StoreType, static bytes => GroupDocument.Parse(bytes.Span)),
            new DocumentKind("Offsets", "offsets", GroupOffsetsDocument.StoreType, static bytes => GroupOffsetsDocument.Parse(bytes.Span)),
        ],
        static documents => new StoredGroup((GroupDocument?)documents[Group], (GroupOffsetsDocument?)documents[Offsets]));
}

/// <summary>A group's stored documents; null for none.</summary>
/// <param name="Group">Members and generation.</param>
/// <param name="Offsets">Committed offsets.</param>
public sealed record StoredGroup(GroupDocument? Group, GroupOffsetsDocument? Offsets) : StoredDocuments
{
    /// <summary>No document at all.</summary>
    public static StoredGroup None { get; } = new(null, null);

    /// <inheritdoc/>
    public override IOwnedDocument? this[int document] => document == GroupDocuments.Group ? Group : Offsets;
}

/// <summary>The content of a <see cref="GroupOffsetsDocument"/> to be written.</summary>
/// <param name="Coordinator">The coordinator that writes them.</param>
/// <param name="Offsets">All offsets of the group.</param>
public sealed record GroupOffsetsContent(CoordinatorClaim Coordinator, Offsets.GroupOffsets Offsets) : IOwnedDocument
{
    /// <summary>Creates the document.</summary>
    public GroupOffsetsDocument ToDocument() => GroupOffsetsDocument.Of(Coordinator, Offsets);

    /// <inheritdoc/>
    public byte[] ToBytes() => ToDocument().ToBytes();
}

/// <summary>A newer image of the topics.</summary>
/// <param name="Topics">All topics.</param>
public sealed record TopicsChanged(GroupTopics Topics) : CoordinatorCommand;
