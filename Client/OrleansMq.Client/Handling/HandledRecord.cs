namespace OrleansMq.Client;

/// <summary>A record on its way through its handler, with its original bytes, which a dead letter carries.</summary>
internal sealed class HandledRecord<TKey, TValue>(FetchSession session, ulong scheduleKey, ConsumeResult<TKey, TValue> record, byte[]? key,
    byte[]? value, Exception? failure)
{
    public FetchSession Session { get; } = session;

    /// <summary>The key for scheduling: records with the same value are handled in order.</summary>
    public ulong ScheduleKey { get; } = scheduleKey;

    /// <summary>The record, without key and value if <see cref="Failure"/> is set.</summary>
    public ConsumeResult<TKey, TValue> Record { get; } = record;

    public byte[]? RawKey { get; } = key;

    public byte[]? RawValue { get; } = value;

    /// <summary>Why it could not be deserialized; null if it could.</summary>
    public Exception? Failure { get; } = failure;

    /// <summary>Copies the current record of a chunk out of the chunk's memory.</summary>
    public static HandledRecord<TKey, TValue> Take(ChunkReader chunk, HandlingParallelism parallelism, IDeserializer<TKey> keys,
        IDeserializer<TValue> values)
    {
        ref readonly var record = ref chunk.Record;
        var scheduleKey = parallelism switch
        {
            HandlingParallelism.Partition => 0UL,
            HandlingParallelism.Key when record.Key is { } key => Hash(key.Span),
            _ => (ulong)record.Offset,
        };
        ConsumeResult<TKey, TValue> result;
        Exception? failure = null;
        try
        {
            result = chunk.Deserialize(keys, values);
        }
        catch (DeserializationException e)
        {
            failure = e;
            result = new ConsumeResult<TKey, TValue>(chunk.Session.Partition, record.Offset, record.Timestamp, default!, default!,
                chunk.CopyHeaders(), chunk.LeaderEpoch) { TopicId = chunk.Session.TopicId, IsTombstone = record.Value is null };
        }
        return new HandledRecord<TKey, TValue>(chunk.Session, scheduleKey, result, record.Key?.ToArray(), record.Value?.ToArray(), failure);
    }

    private static ulong Hash(ReadOnlySpan<byte> key)
    {
        // Keys with the same hash are handled one after the other, which does no harm.
        var hash = new HashCode();
        hash.AddBytes(key);
        return (uint)hash.ToHashCode();
    }
}
