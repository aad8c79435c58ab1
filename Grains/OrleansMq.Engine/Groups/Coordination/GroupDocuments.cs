using System.Text.Json;
using OrleansMq.Api;
using OrleansMq.Coordination;
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

    /// <summary>Whether a stored group has nothing to keep any more. Its coordinator deletes it; where none has run for so long, a request
    /// to the group makes one that does.</summary>
    /// <param name="store">Holds the group's documents.</param>
    /// <param name="groupId">The group.</param>
    /// <param name="group">The first of them.</param>
    /// <param name="now">The time.</param>
    /// <exception cref="JsonException">The document of its offsets is damaged.</exception>
    public static async ValueTask<bool> IsToGoAsync(IStateStore store, string groupId, GroupDocument group, DateTimeOffset now)
    {
        if (group.Share is not null || MayHaveConfigurationAlone(group))
            return false;
        var emptySince = group.Consumer is { } consumer ? consumer.EmptySince
            : group.Classic is { } classic ? classic.EmptySince : DateTimeOffset.UnixEpoch;
        if (group.ToListing(groupId).State != GroupState.Empty || emptySince is null || emptySince + GroupCore.KeptWithoutOffsets > now)
            return false;
        return await HasNoOffsetsAsync(store, groupId).ConfigureAwait(false);
    }

    /// <summary>Whether an id has a configuration, and no group.</summary>
    /// <param name="store">Holds the documents.</param>
    /// <param name="groupId">The id.</param>
    /// <param name="group">The first of them.</param>
    /// <exception cref="JsonException">The document of its offsets is damaged.</exception>
    public static async ValueTask<bool> HasConfigurationAloneAsync(IStateStore store, string groupId, GroupDocument group) =>
        MayHaveConfigurationAlone(group) && await HasNoOffsetsAsync(store, groupId).ConfigureAwait(false);

    private static bool MayHaveConfigurationAlone(GroupDocument group) => group is { Type: GroupType.Unknown, Configs: not null };

    private static async ValueTask<bool> HasNoOffsetsAsync(IStateStore store, string groupId) =>
        await store.ReadAsync(GroupOffsetsDocument.KeyOf(groupId)).ConfigureAwait(false) is not { } offsets
            || GroupOffsetsDocument.Parse(offsets.Value.Span).ToOffsets().IsEmpty;
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
internal sealed record GroupOffsetsContent(CoordinatorClaim Coordinator, Offsets.GroupOffsets Offsets) : IOwnedDocument
{
    /// <summary>Creates the document.</summary>
    public GroupOffsetsDocument ToDocument() => GroupOffsetsDocument.Of(Coordinator, Offsets);

    /// <inheritdoc/>
    public byte[] ToBytes() => ToDocument().ToBytes();
}

/// <summary>A newer image of the topics.</summary>
/// <param name="Topics">All topics.</param>
internal sealed record TopicsChanged(GroupTopics Topics) : CoordinatorCommand;
