using System.Text.Json;
using OrleansMq.Api;
using OrleansMq.Coordination;
using OrleansMq.Groups.Offsets;
using OrleansMq.State;

namespace OrleansMq.Groups.Coordination;

/// <summary>The two documents of a group. The first exists as long as the group.</summary>
internal static class GroupDocuments
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

    /// <summary>Bounds the groups of a store of files.</summary>
    public static IStateStore Bound(IStateStore store, GroupOptions options) =>
        new BoundedStateStore(store, GroupDocument.StoreType, options.MaxGroups, TooMany(options.MaxGroups));

    /// <summary>Tells that there are too many groups.</summary>
    /// <param name="most">The most.</param>
    public static string TooMany(int most) => $"There are {most} groups already, as many as the broker allows: delete groups that are not "
        + "used any more (omq group delete; kafka-share-groups.sh and kafka-consumer-groups.sh --delete), or raise maxGroups.";

    /// <summary>Finds out what the documents of an id are kept for. Those of offsets are read where that is needed.</summary>
    /// <param name="store">Holds the documents.</param>
    /// <param name="groupId">The id.</param>
    /// <param name="group">The first of them.</param>
    /// <param name="now">The time.</param>
    /// <exception cref="JsonException">The document of its offsets is damaged.</exception>
    public static async ValueTask<GroupUse> FindUseAsync(IStateStore store, string groupId, GroupDocument group, DateTimeOffset now)
    {
        if (group.Share is not null || group.ToListing(groupId).State != GroupState.Empty)
            return GroupUse.Group;
        var emptySince = group.Consumer is { } consumer ? consumer.EmptySince
            : group.Classic is { } classic ? classic.EmptySince : DateTimeOffset.UnixEpoch;
        if (emptySince is null || emptySince + GroupCore.KeptWithoutOffsets > now)
            return GroupUse.Group;
        var offsets = await store.ReadAsync(GroupOffsetsDocument.KeyOf(groupId)).ConfigureAwait(false) is { } stored
            ? GroupOffsetsDocument.Parse(stored.Value.Span).ToOffsets() : GroupOffsets.Empty;
        if (!offsets.IsEmpty)
            return GroupUse.Group;
        return group.Type == GroupType.Unknown && (group.Configs is not null || offsets.Fences.Values.Any(fence => fence.ForgottenAt > now))
            ? GroupUse.Remains : GroupUse.None;
    }
}

/// <summary>What the documents of an id are kept for.</summary>
internal enum GroupUse
{
    /// <summary>For a group.</summary>
    Group,
    /// <summary>For the id alone: its configuration, or transactions that have ended. There is no group.</summary>
    Remains,
    /// <summary>For nothing any more. The coordinator deletes them; where none has run for so long, a request to the group makes one that
    /// does.</summary>
    None,
}

/// <summary>A group's stored documents; null for none.</summary>
/// <param name="Group">Members and generation.</param>
/// <param name="Offsets">Committed offsets.</param>
internal sealed record StoredGroup(GroupDocument? Group, GroupOffsetsDocument? Offsets) : StoredDocuments
{
    /// <summary>No document at all.</summary>
    public static StoredGroup None { get; } = new(null, null);

    /// <inheritdoc/>
    public override IOwnedDocument? this[int document] => document == GroupDocuments.Group ? Group : Offsets;
}

/// <summary>The content of a <see cref="GroupOffsetsDocument"/> to be written.</summary>
/// <param name="Coordinator">The coordinator that writes them.</param>
/// <param name="Offsets">All offsets of the group.</param>
internal sealed record GroupOffsetsContent(CoordinatorClaim Coordinator, GroupOffsets Offsets) : IOwnedDocument
{
    /// <summary>Creates the document.</summary>
    public GroupOffsetsDocument ToDocument() => GroupOffsetsDocument.Of(Coordinator, Offsets);

    /// <inheritdoc/>
    public byte[] ToBytes() => ToDocument().ToBytes();
}

/// <summary>A newer image of the topics, or other rules on them.</summary>
/// <param name="Topics">All topics.</param>
internal sealed record TopicsChanged(GroupTopics Topics) : CoordinatorCommand;
