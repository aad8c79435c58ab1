namespace OrleansMq.Records;

/// <summary>
/// Builds one record batch: records are encoded as they are added, compressed and sealed with length and CRC at the end. Reusable after
/// <see cref="Reset"/>, with the memory it has; in steady state it allocates nothing. Not thread safe.
/// </summary>
public sealed class RecordBatchBuilder : IDisposable
{
    /// <summary>A builder whose batches are compressed by the codec of that type.</summary>
    public RecordBatchBuilder(CompressionType compression = CompressionType.None, CompressionCodecs? codecs = null, int initialCapacity = 16 << 10) =>
        throw new NotImplementedException();

    /// <summary>Records so far.</summary>
    public int RecordCount => throw new NotImplementedException();

    /// <summary>Bytes so far, header included, before compression: an upper bound for most data.</summary>
    public int EstimatedSize => throw new NotImplementedException();

    /// <summary>Adds a record; <paramref name="timestamp"/> in milliseconds since 1970.</summary>
    public void Add(long timestamp, ReadOnlySpan<byte> key, bool hasKey, ReadOnlySpan<byte> value, bool hasValue, ReadOnlySpan<RecordHeader> headers = default) =>
        throw new NotImplementedException();

    /// <summary>How many bytes such a record would add at most, so that a batch can be closed before it grows too large.</summary>
    public static int MaxRecordSize(int keyLength, int valueLength, ReadOnlySpan<RecordHeader> headers) => throw new NotImplementedException();

    /// <summary>Stamps producer id, epoch and the sequence number of the first record; call before <see cref="Build"/>.</summary>
    public void SetProducer(long producerId, short producerEpoch, int baseSequence, bool transactional = false) => throw new NotImplementedException();

    /// <summary>
    /// Seals the batch: base offset 0, leader epoch -1. The memory is the builder's and valid until <see cref="Reset"/> or dispose.
    /// </summary>
    public Memory<byte> Build() => throw new NotImplementedException();

    /// <summary>Empties the builder for the next batch.</summary>
    public void Reset() => throw new NotImplementedException();

    /// <summary>Returns the memory to its pool.</summary>
    public void Dispose() => throw new NotImplementedException();
}

/// <summary>A record's header: a name and a value, which may be null.</summary>
/// <param name="Key">The name, as UTF-8.</param>
/// <param name="Value">The value; null is kept apart from empty.</param>
public readonly record struct RecordHeader(ReadOnlyMemory<byte> Key, ReadOnlyMemory<byte>? Value);
