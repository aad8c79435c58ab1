using System.Text.Json;
using System.Text.Json.Serialization;

namespace OrleansMq.Topics;

/// <summary>The JSON of the state documents, the same in both flavours.</summary>
[JsonSourceGenerationOptions(PropertyNamingPolicy = JsonKnownNamingPolicy.CamelCase)]
[JsonSerializable(typeof(TopicState))]
[JsonSerializable(typeof(TopicCatalogue))]
[JsonSerializable(typeof(WholeCatalogue))]
[JsonSerializable(typeof(ProducerIdState))]
internal sealed partial class TopicJson : JsonSerializerContext;

/// <summary>Converts a <see cref="TopicStatus"/> to JSON, for example <c>"active"</c>.</summary>
internal sealed class TopicStatusConverter() : JsonStringEnumConverter<TopicStatus>(JsonNamingPolicy.CamelCase, allowIntegerValues: false);
