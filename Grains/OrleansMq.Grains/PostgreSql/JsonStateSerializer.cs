using System.Text.Json;
using Orleans.Storage;

namespace OrleansMq.Grains.PostgreSql;

/// <summary>State as the JSON document that the file store would hold.</summary>
/// <param name="json">How the state's types are written.</param>
internal sealed class JsonStateSerializer(JsonSerializerOptions json) : IGrainStorageSerializer
{
    /// <inheritdoc/>
    public BinaryData Serialize<T>(T? input) => new(JsonSerializer.SerializeToUtf8Bytes(input, json));

    /// <inheritdoc/>
    public T? Deserialize<T>(BinaryData input) => JsonSerializer.Deserialize<T>(input.ToMemory().Span, json);
}
