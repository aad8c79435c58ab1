using System.Collections.Immutable;
using System.Text.Json;
using System.Text.Json.Serialization;
using OrleansMq.Api;
using OrleansMq.Coordination;
using OrleansMq.Groups.Classic;
using OrleansMq.Groups.Consumer;
using OrleansMq.Groups.Offsets;
using OrleansMq.Groups.Share;

namespace OrleansMq.Groups.Coordination;

/// <summary>The document <c>group/&lt;group id&gt;</c>.</summary>
internal sealed record GroupDocument : IOwnedDocument
{
    /// <summary>The version of the format that is written.</summary>
    public const int CurrentVersion = 1;

    /// <summary>The type in the key.</summary>
    public const string StoreType = "group";

    internal const string ShareProtocol = "share";

    /// <summary>The format; one above <see cref="CurrentVersion"/> is refused.</summary>
    public int Version { get; init; } = CurrentVersion;

    /// <summary>The coordinator that wrote it.</summary>
    public required CoordinatorClaim Coordinator { get; init; }

    /// <summary>The protocol that forms the group; <see cref="GroupType.Unknown"/> for a group with offsets only.</summary>
    [JsonConverter(typeof(GroupTypeConverter))]
    public GroupType Type { get; init; }

    /// <summary>The state if <see cref="Type"/> is <see cref="GroupType.Classic"/>.</summary>
    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)]
    public ClassicGroupState? Classic { get; init; }

    /// <summary>The state if <see cref="Type"/> is <see cref="GroupType.Consumer"/>.</summary>
    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)]
    public ConsumerGroupState? Consumer { get; init; }

    /// <summary>The state if <see cref="Type"/> is <see cref="GroupType.Share"/>.</summary>
    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)]
    public ShareGroupState? Share { get; init; }

    /// <summary>The configuration that was set, by name; null for none. It belongs to the id, and stays when the group is deleted: then the
    /// document has it alone, with <see cref="GroupType.Unknown"/>.</summary>
    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)]
    public ImmutableSortedDictionary<string, string>? Configs { get; init; }

    /// <summary>The document's key in the state store.</summary>
    public static string KeyOf(string groupId) => $"{StoreType}/{groupId}";

    /// <summary>Returns the group's entry in a list.</summary>
    public GroupListing ToListing(string groupId) => Share is { } share ? new(groupId, ShareProtocol, share.State, GroupType.Share)
        : Consumer is { } consumer
        ? new(groupId, Assignment.ConsumerProtocol.ProtocolType, consumer.State, GroupType.Consumer)
        : new(groupId, Classic?.ProtocolType ?? "", Classic?.State ?? GroupState.Empty, Type == GroupType.Unknown
            ? GroupType.Classic : Type);

    /// <summary>Serializes the document as it is stored.</summary>
    public byte[] ToBytes() => JsonSerializer.SerializeToUtf8Bytes(this, GroupJson.Default.GroupDocument);

    /// <summary>Parses a stored document.</summary>
    /// <exception cref="JsonException">The document is damaged, or of a newer version.</exception>
    public static GroupDocument Parse(ReadOnlySpan<byte> bytes)
    {
        var document = JsonSerializer.Deserialize(bytes, GroupJson.Default.GroupDocument) ?? throw new JsonException("It is null.");
        GroupJson.CheckVersion(document.Version, CurrentVersion);
        if (document.Type == GroupType.Classic != document.Classic is not null
            || document.Type == GroupType.Consumer != document.Consumer is not null
            || document.Type == GroupType.Share != document.Share is not null)
            throw new JsonException($"Its type is {document.Type}, and its state is of another.");
        return document.Share is { Configs: { } former } share
            ? document with { Share = share with { Configs = null }, Configs = document.Configs ?? (former.IsEmpty ? null : former) }
            : document;
    }
}

/// <summary>The document <c>group-offsets/&lt;group id&gt;</c>.</summary>
internal sealed record GroupOffsetsDocument : IOwnedDocument
{
    /// <summary>The version of the format that is written.</summary>
    public const int CurrentVersion = 1;

    /// <summary>The type in the key.</summary>
    public const string StoreType = "group-offsets";

    /// <summary>The format; one above <see cref="CurrentVersion"/> is refused.</summary>
    public int Version { get; init; } = CurrentVersion;

    /// <summary>The coordinator that wrote it.</summary>
    public required CoordinatorClaim Coordinator { get; init; }

    /// <summary>Committed offsets.</summary>
    public ImmutableArray<StoredTopicOffsets> Topics { get; init; } = [];

    /// <summary>Offsets of open transactions.</summary>
    public ImmutableArray<StoredPendingOffsets> Pending { get; init; } = [];

    /// <summary>The document's key in the state store.</summary>
    public static string KeyOf(string groupId) => $"{StoreType}/{groupId}";

    /// <summary>Creates the document of these offsets.</summary>
    public static GroupOffsetsDocument Of(CoordinatorClaim coordinator, GroupOffsets offsets) => new()
    {
        Coordinator = coordinator,
        Topics = StoredTopicOffsets.Of(offsets.Topics),
        Pending = [.. offsets.Pending.Select(pending => new StoredPendingOffsets(pending.Key, StoredTopicOffsets.Of(pending.Value)))],
    };

    /// <summary>Returns the offsets in the document.</summary>
    public GroupOffsets ToOffsets() => new()
    {
        Topics = StoredTopicOffsets.Read(Topics),
        Pending = Pending.ToImmutableSortedDictionary(pending => pending.ProducerId, pending => StoredTopicOffsets.Read(pending.Topics)),
    };

    /// <summary>Serializes the document as it is stored.</summary>
    public byte[] ToBytes() => JsonSerializer.SerializeToUtf8Bytes(this, GroupJson.Default.GroupOffsetsDocument);

    /// <summary>Parses a stored document.</summary>
    /// <exception cref="JsonException">The document is damaged, or of a newer version.</exception>
    public static GroupOffsetsDocument Parse(ReadOnlySpan<byte> bytes)
    {
        var document = JsonSerializer.Deserialize(bytes, GroupJson.Default.GroupOffsetsDocument) ?? throw new JsonException("It is null.");
        GroupJson.CheckVersion(document.Version, CurrentVersion);
        return document;
    }
}

/// <summary>Offsets of one topic in a document.</summary>
/// <param name="Topic">The topic's name.</param>
/// <param name="TopicId">Its id.</param>
/// <param name="Partitions">By partition, ascending.</param>
internal sealed record StoredTopicOffsets(string Topic, Guid TopicId, ImmutableArray<StoredOffset> Partitions)
{
    internal static ImmutableArray<StoredTopicOffsets> Of(ImmutableSortedDictionary<string, TopicOffsets> topics) =>
        [.. topics.Select(topic => new StoredTopicOffsets(topic.Key, topic.Value.TopicId,
            [.. topic.Value.Partitions.Select(partition => StoredOffset.Of(partition.Key, partition.Value))]))];

    internal static ImmutableSortedDictionary<string, TopicOffsets> Read(ImmutableArray<StoredTopicOffsets> topics) =>
        topics.ToImmutableSortedDictionary(
            topic => topic.Topic,
            topic => new TopicOffsets(topic.TopicId,
                topic.Partitions.ToImmutableSortedDictionary(offset => offset.Partition, offset => offset.ToCommitted())),
            StringComparer.Ordinal);
}

/// <summary>One offset in a document.</summary>
internal sealed record StoredOffset
{
    /// <summary>The partition's number.</summary>
    public int Partition { get; init; }

    /// <summary>The next offset to read.</summary>
    public long Offset { get; init; }

    /// <summary>The leader epoch of the last record read; null if unknown.</summary>
    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)]
    public int? LeaderEpoch { get; init; }

    /// <summary>The committer's metadata; null for none.</summary>
    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)]
    public string? Metadata { get; init; }

    /// <summary>The time of the commit, in milliseconds since 1970.</summary>
    public long CommittedAt { get; init; }

    internal static StoredOffset Of(int partition, CommittedOffset offset) => new()
    {
        Partition = partition,
        Offset = offset.Offset,
        LeaderEpoch = offset.LeaderEpoch < 0 ? null : offset.LeaderEpoch,
        Metadata = offset.Metadata.Length == 0 ? null : offset.Metadata,
        CommittedAt = offset.CommitTimestamp,
    };

    internal CommittedOffset ToCommitted() => new(Offset, LeaderEpoch ?? -1, Metadata ?? "", CommittedAt);
}

/// <summary>Offsets of an open transaction in a document.</summary>
/// <param name="ProducerId">The transaction's producer.</param>
/// <param name="Topics">By topic.</param>
internal sealed record StoredPendingOffsets(long ProducerId, ImmutableArray<StoredTopicOffsets> Topics);

/// <summary>The JSON of groups' documents, the same in both flavours.</summary>
[JsonSourceGenerationOptions(PropertyNamingPolicy = JsonKnownNamingPolicy.CamelCase)]
[JsonSerializable(typeof(GroupDocument))]
[JsonSerializable(typeof(GroupOffsetsDocument))]
internal sealed partial class GroupJson : JsonSerializerContext
{
    internal static void CheckVersion(int version, int newest)
    {
        if (version < 1 || version > newest)
            throw new JsonException($"Its version is {version}; this program knows 1 to {newest}. A newer program wrote it: run that one.");
    }
}

/// <summary>Writes a <see cref="GroupState"/> as <c>"stable"</c>.</summary>
internal sealed class GroupStateConverter() : JsonStringEnumConverter<GroupState>(JsonNamingPolicy.CamelCase, allowIntegerValues: false);

/// <summary>Writes a <see cref="GroupType"/> as <c>"classic"</c>.</summary>
internal sealed class GroupTypeConverter() : JsonStringEnumConverter<GroupType>(JsonNamingPolicy.CamelCase, allowIntegerValues: false);
