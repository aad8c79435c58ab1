using System.Text.Json;
using System.Text.Json.Serialization;

namespace OrleansMq.Topics;

/// <summary>
/// The document that held all topics before there were pages, or the mark that takes its place once it is divided into them. A broker of an
/// earlier version cannot read the mark. Without it, that broker would take the list for empty, and go on from there.
/// </summary>
/// <param name="Topics">All topics; null for the mark.</param>
[JsonConverter(typeof(WholeCatalogueConverter))]
internal sealed record WholeCatalogue(TopicCatalogue? Topics)
{
    /// <summary>The second half of the document's key.</summary>
    public const string Name = "cluster";

    /// <summary>The document's key in the state store.</summary>
    public const string Key = $"{TopicCatalogue.StoreType}/{Name}";

    /// <summary>The mark.</summary>
    public static WholeCatalogue Divided { get; } = new((TopicCatalogue?)null);
}

/// <summary>Converts a <see cref="WholeCatalogue"/> to the JSON of earlier versions; the mark has a text instead of the topics.</summary>
internal sealed class WholeCatalogueConverter : JsonConverter<WholeCatalogue>
{
    private const string TopicsField = "topics";

    /// <inheritdoc/>
    public override WholeCatalogue Read(ref Utf8JsonReader reader, Type typeToConvert, JsonSerializerOptions options)
    {
        using var document = JsonDocument.ParseValue(ref reader);
        return document.RootElement is { ValueKind: JsonValueKind.Object } root && root.TryGetProperty(TopicsField, out var topics)
            && topics.ValueKind == JsonValueKind.String
            ? WholeCatalogue.Divided
            : new WholeCatalogue(document.RootElement.Deserialize(TopicJson.Default.TopicCatalogue));
    }

    /// <inheritdoc/>
    public override void Write(Utf8JsonWriter writer, WholeCatalogue value, JsonSerializerOptions options)
    {
        if (value.Topics is { } all)
        {
            JsonSerializer.Serialize(writer, all, TopicJson.Default.TopicCatalogue);
            return;
        }
        writer.WriteStartObject();
        writer.WriteString(TopicsField, "A later version of the broker keeps them on pages.");
        writer.WriteEndObject();
    }
}
