using OrleansMq.Records;

namespace OrleansMq.Client;

/// <summary>A record that was read.</summary>
/// <typeparam name="TKey">The type of its key.</typeparam>
/// <typeparam name="TValue">The type of its value.</typeparam>
/// <param name="TopicPartition">Where it is.</param>
/// <param name="Offset">Its offset. Offsets of one partition grow, with gaps where records were compacted away.</param>
/// <param name="Timestamp">Milliseconds since 1970: the producer's, or the broker's where the topic stamps LogAppendTime.</param>
/// <param name="Key">Its key; what the deserializer makes of null where it has none.</param>
/// <param name="Value">Its value; what the deserializer makes of null for a tombstone.</param>
/// <param name="Headers">Its headers, in order; empty where it has none.</param>
/// <param name="LeaderEpoch">The epoch of the leader that wrote it.</param>
public readonly record struct ConsumeResult<TKey, TValue>(TopicPartition TopicPartition, long Offset, long Timestamp, TKey Key,
    TValue Value,
    IReadOnlyList<RecordHeader> Headers, int LeaderEpoch)
{
    /// <summary>The id of its topic, never reused; empty where the reader was not told (partitions that were assigned by hand).</summary>
    public Guid TopicId { get; init; }

    /// <summary><see cref="Timestamp"/> as a point in time (UTC).</summary>
    public DateTimeOffset Time => DateTimeOffset.FromUnixTimeMilliseconds(Timestamp);
}
