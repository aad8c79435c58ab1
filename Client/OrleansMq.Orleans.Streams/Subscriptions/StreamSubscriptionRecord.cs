using System.Text.Json;
using System.Text.Json.Serialization;

namespace OrleansMq.Streams;

/// <summary>The key of a subscription in its topic.</summary>
/// <param name="Topic">The stream's namespace.</param>
/// <param name="Key">The stream's key.</param>
/// <param name="Id">The subscription.</param>
internal sealed record SubscriptionKey(string Topic, byte[] Key, Guid Id)
{
    public byte[] ToBytes() => JsonSerializer.SerializeToUtf8Bytes(this, SubscriptionJson.Default.SubscriptionKey);

    public static SubscriptionKey Parse(ReadOnlySpan<byte> bytes) =>
        JsonSerializer.Deserialize(bytes, SubscriptionJson.Default.SubscriptionKey)
        ?? throw new JsonException("A subscription's key is a JSON object.");
}

/// <summary>The value of a subscription in its topic.</summary>
/// <param name="Grain">The id of the grain that subscribed, as text.</param>
/// <param name="Partition">The partition of the stream's key when it subscribed.</param>
/// <param name="Queue">The id of the cursor there, which is another one after the topic was created again.</param>
/// <param name="First">The first offset that the subscription receives of that cursor.</param>
internal sealed record SubscriptionValue(string Grain, int Partition, Guid Queue, long First)
{
    public byte[] ToBytes() => JsonSerializer.SerializeToUtf8Bytes(this, SubscriptionJson.Default.SubscriptionValue);

    public static SubscriptionValue Parse(ReadOnlySpan<byte> bytes) =>
        JsonSerializer.Deserialize(bytes, SubscriptionJson.Default.SubscriptionValue)
        ?? throw new JsonException("A subscription is a JSON object.");
}

[JsonSourceGenerationOptions(JsonSerializerDefaults.Web)]
[JsonSerializable(typeof(SubscriptionKey))]
[JsonSerializable(typeof(SubscriptionValue))]
internal sealed partial class SubscriptionJson : JsonSerializerContext;
