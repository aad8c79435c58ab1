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
/// <param name="First">The first offset that the subscription receives of that cursor, unless it is replayed.</param>
/// <param name="Replay">The newest replay of the subscription; null: it has none.</param>
internal sealed record SubscriptionValue(string Grain, int Partition, Guid Queue, long First, Replay? Replay = null)
{
    public byte[] ToBytes() => JsonSerializer.SerializeToUtf8Bytes(this, SubscriptionJson.Default.SubscriptionValue);

    public static SubscriptionValue Parse(ReadOnlySpan<byte> bytes) =>
        JsonSerializer.Deserialize(bytes, SubscriptionJson.Default.SubscriptionValue)
        ?? throw new JsonException("A subscription is a JSON object.");
}

/// <summary>A replay of a subscription: a cursor of its own delivers the stream's events from an offset on, until the cursor of all
/// explicit subscriptions takes over.</summary>
/// <param name="Id">The replay.</param>
/// <param name="Number">How many replays the subscription has had, with this one. An activation refuses deliveries of earlier ones.</param>
/// <param name="TopicId">The topic. With another topic of that name, the replay is over.</param>
/// <param name="From">The first offset.</param>
/// <param name="Continues">Of a split: the replay from a token whose events it goes on with; empty: the subscription was never replayed.
/// Null: it begins with a token itself.</param>
/// <param name="Failures">How often the event at the first offset had failed when the subscription was split.</param>
/// <param name="Generation">How many tokens the subscription had been resumed from, with this one. Splits have that of their origin. Of two
/// replays the one of the higher generation is the later one, then the one of the higher number.</param>
internal sealed record Replay(Guid Id, int Number, Guid TopicId, long From, Guid? Continues = null, int Failures = 0, int Generation = 0)
{
    /// <summary>Whether the subscription did not keep pace with the others of its stream, and goes on where it was.</summary>
    [JsonIgnore]
    public bool IsSplit => Continues is not null;

    /// <summary>The replay from a token that the subscription had last; empty: it had none. What an activation has served since then is
    /// not delivered to it again.</summary>
    [JsonIgnore]
    public Guid Origin => Continues ?? Id;

    /// <summary>Returns how often an event had failed before its cursor delivered it.</summary>
    public int FailuresAt(long offset) => offset == From ? Failures : 0;
}

/// <summary>The key of a further replay of a subscription in the topic of subscriptions: a split, or one from a token. Each has a record of
/// its own, so that a late one neither brings back a subscription that is removed nor takes the place of a later replay: see
/// <see cref="SubscriptionTable"/>.</summary>
/// <param name="Id">The replay; empty: the key is none of a replay.</param>
/// <param name="Of">The subscription. Its parts would make an earlier version take the record for a subscription.</param>
internal sealed record NextReplayKey([property: JsonPropertyName("split")] Guid Id, SubscriptionKey Of)
{
    public byte[] ToBytes() => JsonSerializer.SerializeToUtf8Bytes(this, SubscriptionJson.Default.NextReplayKey);

    /// <summary>Returns null for another key.</summary>
    public static NextReplayKey? TryParse(ReadOnlySpan<byte> bytes) =>
        JsonSerializer.Deserialize(bytes, SubscriptionJson.Default.NextReplayKey) is { Of: not null } key && key.Id != Guid.Empty
            ? key : null;
}

/// <summary>The value of a further replay.</summary>
/// <param name="Queue">The id of the shared cursor that the subscription leaves.</param>
/// <param name="Replay">The replay.</param>
/// <param name="Partition">Of one from a token: the partition of the stream's key when it was resumed. Null: that of the
/// subscription.</param>
internal sealed record NextReplayValue(Guid Queue, Replay Replay, int? Partition = null)
{
    public byte[] ToBytes() => JsonSerializer.SerializeToUtf8Bytes(this, SubscriptionJson.Default.NextReplayValue);

    public static NextReplayValue Parse(ReadOnlySpan<byte> bytes) =>
        JsonSerializer.Deserialize(bytes, SubscriptionJson.Default.NextReplayValue) is { Replay: not null } value ? value
        : throw new JsonException("A further replay of a subscription is a JSON object with a replay.");
}

/// <summary>What a claim says of a subscription.</summary>
internal enum SubscriptionClaim
{
    /// <summary>Never used.</summary>
    Unknown = 0,
    /// <summary>An activation has resumed it: it stays.</summary>
    Resumed = 1,
    /// <summary>The call that wrote it has failed: it is removed, unless an activation has resumed it before.</summary>
    Abandoned = 2,
}

/// <summary>The key of a claim on a subscription in the topic of subscriptions. Each claim has a record of its own, since a copy would lose
/// its place, by which it counts: see <see cref="SubscriptionTable"/>.</summary>
/// <param name="Id">The claim; empty: the key is none of a claim.</param>
/// <param name="Kind">What it says.</param>
/// <param name="Of">The subscription. Its parts would make an earlier version take the record for a subscription.</param>
internal sealed record ClaimKey([property: JsonPropertyName("claim")] Guid Id, SubscriptionClaim Kind, SubscriptionKey Of)
{
    /// <summary>The value of every claim.</summary>
    public static ReadOnlySpan<byte> Value => "{}"u8;

    public byte[] ToBytes() => JsonSerializer.SerializeToUtf8Bytes(this, SubscriptionJson.Default.ClaimKey);

    /// <summary>Returns null for another key.</summary>
    public static ClaimKey? TryParse(ReadOnlySpan<byte> bytes) =>
        JsonSerializer.Deserialize(bytes, SubscriptionJson.Default.ClaimKey) is { Of: not null } key && key.Id != Guid.Empty ? key : null;
}

/// <summary>The key of a replay's progress.</summary>
/// <param name="Replay">The replay; empty: the key is none of a replay.</param>
/// <param name="Step">The step.</param>
internal sealed record ReplayKey(Guid Replay, ReplayStep Step)
{
    public byte[] ToBytes() => JsonSerializer.SerializeToUtf8Bytes(this, SubscriptionJson.Default.ReplayKey);

    /// <summary>Returns null for the key of a subscription.</summary>
    public static ReplayKey? TryParse(ReadOnlySpan<byte> bytes) =>
        JsonSerializer.Deserialize(bytes, SubscriptionJson.Default.ReplayKey) is { } key && key.Replay != Guid.Empty ? key : null;
}

/// <summary>The progress of a replay.</summary>
/// <param name="First">With <see cref="ReplayStep.Joined"/>, the first offset that the shared cursor delivers.</param>
internal sealed record ReplayValue(long First)
{
    public byte[] ToBytes() => JsonSerializer.SerializeToUtf8Bytes(this, SubscriptionJson.Default.ReplayValue);

    public static ReplayValue Parse(ReadOnlySpan<byte> bytes) =>
        JsonSerializer.Deserialize(bytes, SubscriptionJson.Default.ReplayValue)
        ?? throw new JsonException("The progress of a replay is a JSON object.");
}

/// <summary>How far a replay is.</summary>
internal enum ReplayStep
{
    /// <summary>Never used.</summary>
    Unknown = 0,
    /// <summary>Its own cursor delivers, and the shared one passes its subscription over.</summary>
    Replaying = 1,
    /// <summary>It has nearly caught up: the shared cursor keeps the stream's events back.</summary>
    Joining = 2,
    /// <summary>The shared cursor delivers.</summary>
    Joined = 3,
}

[JsonSourceGenerationOptions(JsonSerializerDefaults.Web)]
[JsonSerializable(typeof(SubscriptionKey))]
[JsonSerializable(typeof(SubscriptionValue))]
[JsonSerializable(typeof(NextReplayKey))]
[JsonSerializable(typeof(NextReplayValue))]
[JsonSerializable(typeof(ClaimKey))]
[JsonSerializable(typeof(ReplayKey))]
[JsonSerializable(typeof(ReplayValue))]
internal sealed partial class SubscriptionJson : JsonSerializerContext;
