namespace OrleansMq.Client;

/// <summary>A record on its way through its handler, with its bytes as they were written: a dead letter carries those.</summary>
internal sealed class HandledRecord<TKey, TValue>(FetchSession session, ulong scheduleKey, ConsumeResult<TKey, TValue> record, byte[]? key,
    byte[]? value, Exception? failure)
{
    public FetchSession Session { get; } = session;

    /// <summary>Records with the same one are handled in order.</summary>
    public ulong ScheduleKey { get; } = scheduleKey;

    /// <summary>Without key and value where <see cref="Failure"/> says why.</summary>
    public ConsumeResult<TKey, TValue> Record { get; } = record;

    public byte[]? RawKey { get; } = key;

    public byte[]? RawValue { get; } = value;

    /// <summary>Why it could not be deserialized.</summary>
    public Exception? Failure { get; } = failure;

    /// <summary>Takes the record that a chunk stands on out of the chunk's memory.</summary>
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
                chunk.CopyHeaders(), chunk.LeaderEpoch) { TopicId = chunk.Session.TopicId };
        }
        return new HandledRecord<TKey, TValue>(chunk.Session, scheduleKey, result, record.Key?.ToArray(), record.Value?.ToArray(), failure);
    }

    private static ulong Hash(ReadOnlySpan<byte> key)
    {
        // Keys that share a number are handled one after the other, no more.
        var hash = new HashCode();
        hash.AddBytes(key);
        return (uint)hash.ToHashCode();
    }
}
