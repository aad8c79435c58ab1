using System.Text.Json;
using Orleans.Storage;

namespace OrleansMq.Grains.PostgreSql;

/// <summary>Serializes state as the same JSON documents that the file store holds.</summary>
/// <param name="json">The JSON options of the state's types.</param>
internal sealed class JsonStateSerializer(JsonSerializerOptions json) : IGrainStorageSerializer
{
    /// <inheritdoc/>
    public BinaryData Serialize<T>(T? input) => new(JsonSerializer.SerializeToUtf8Bytes(input, json));

    /// <inheritdoc/>
    public T? Deserialize<T>(BinaryData input) => JsonSerializer.Deserialize<T>(input.ToMemory().Span, json);
}
