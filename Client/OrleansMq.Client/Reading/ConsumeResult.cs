namespace OrleansMq.Client;

/// <summary>A record that was read.</summary>
/// <typeparam name="TKey">The type of its key.</typeparam>
/// <typeparam name="TValue">The type of its value.</typeparam>
/// <param name="TopicPartition">The record's partition.</param>
/// <param name="Offset">The record's offset. Offsets of one partition ascend, with gaps where records were compacted away.</param>
/// <param name="Timestamp">Milliseconds since 1970: the producer's, or the broker's if the topic stamps LogAppendTime.</param>
/// <param name="Key">The deserialized key; without a key, the deserializer's value for null.</param>
/// <param name="Value">The deserialized value; for a tombstone, the deserializer's value for null. That is null for text, bytes and JSON,
/// also where <typeparamref name="TValue"/> says otherwise: see <see cref="IsTombstone"/>.</param>
/// <param name="Headers">The headers, in order; empty for none.</param>
/// <param name="LeaderEpoch">The leader epoch in which it was written.</param>
public readonly record struct ConsumeResult<TKey, TValue>(TopicPartition TopicPartition, long Offset, long Timestamp, TKey Key,
    TValue Value, IReadOnlyList<RecordHeader> Headers, int LeaderEpoch)
{
    /// <summary>The topic's id, never reused; empty if unknown (partitions assigned without a group).</summary>
    public Guid TopicId { get; init; }

    /// <summary>Whether the record has no value, which deletes its key in a compacted topic. Check it before <see cref="Value"/> where such
    /// records are sent.</summary>
    public bool IsTombstone { get; init; }

    /// <summary><see cref="Timestamp"/> as UTC time; the first or last one that there is where it is out of that range.</summary>
    public DateTimeOffset Time => RecordTimes.Of(Timestamp);
}
