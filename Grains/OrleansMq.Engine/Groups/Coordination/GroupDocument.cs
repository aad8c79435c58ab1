using System.Collections.Immutable;
using System.Text.Json;
using System.Text.Json.Serialization;
using OrleansMq.Api;
using OrleansMq.Coordination;
using OrleansMq.Groups.Classic;
using OrleansMq.Groups.Consumer;
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
