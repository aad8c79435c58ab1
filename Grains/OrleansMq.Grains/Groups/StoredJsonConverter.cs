using System.Collections.Immutable;
using System.Runtime.InteropServices;
using System.Text.Json;
using System.Text.Json.Serialization;

namespace OrleansMq.Grains.Groups;

/// <summary>Writes a document as it is, and reads it as it was written.</summary>
internal sealed class StoredJsonConverter : JsonConverter<StoredJson>
{
    /// <inheritdoc/>
    public override StoredJson Read(ref Utf8JsonReader reader, Type typeToConvert, JsonSerializerOptions options)
    {
        using var document = JsonDocument.ParseValue(ref reader);
        return new StoredJson(JsonMarshal.GetRawUtf8Value(document.RootElement).ToArray());
    }

    /// <inheritdoc/>
    public override void Write(Utf8JsonWriter writer, StoredJson value, JsonSerializerOptions options) =>
        // It was made by the engine's serializer.
        writer.WriteRawValue(value.Utf8.Span, skipInputValidation: true);
}

/// <summary>The JSON of what the grains of groups store.</summary>
[JsonSourceGenerationOptions(PropertyNamingPolicy = JsonKnownNamingPolicy.CamelCase)]
[JsonSerializable(typeof(StoredJson))]
[JsonSerializable(typeof(GroupIndexShard))]
internal sealed partial class GroupStateJson : JsonSerializerContext;

/// <summary>A part of the index of groups.</summary>
/// <param name="Groups">Ids of groups that have stored something, are about to, or have just been deleted.</param>
internal sealed record GroupIndexShard(ImmutableSortedSet<string> Groups)
{
    /// <summary>Of no group.</summary>
    public static GroupIndexShard Empty { get; } = new(ImmutableSortedSet.Create<string>(StringComparer.Ordinal));
}
