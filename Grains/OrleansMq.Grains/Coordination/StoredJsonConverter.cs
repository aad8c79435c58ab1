using System.Collections.Immutable;
using System.Runtime.InteropServices;
using System.Text.Json;
using System.Text.Json.Serialization;

namespace OrleansMq.Grains.Coordination;

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

/// <summary>The JSON of what the grains of coordinators store.</summary>
[JsonSourceGenerationOptions(PropertyNamingPolicy = JsonKnownNamingPolicy.CamelCase)]
[JsonSerializable(typeof(StoredJson))]
[JsonSerializable(typeof(CoordinatorIndexShard))]
internal sealed partial class CoordinatorStateJson : JsonSerializerContext;

/// <summary>A part of the index of one kind of coordinator.</summary>
/// <param name="Ids">Ids that have documents, are about to have some, or had some until just now. Groups came first: hence the name in
/// JSON.</param>
internal sealed record CoordinatorIndexShard([property: JsonPropertyName("groups")] ImmutableSortedSet<string> Ids)
{
    /// <summary>A part without ids.</summary>
    public static CoordinatorIndexShard Empty { get; } = new(ImmutableSortedSet.Create<string>(StringComparer.Ordinal));
}
