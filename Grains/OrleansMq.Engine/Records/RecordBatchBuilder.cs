namespace OrleansMq.Records;

/// <summary>
/// Builds one record batch. Records are encoded as they are added; the batch is compressed and sealed with length and CRC at the end. After
/// <see cref="Reset"/> it can be reused with its memory, so in steady state it allocates nothing. Not thread-safe.
/// </summary>
public sealed class RecordBatchBuilder : IDisposable
{
    // The maximum sizes of the varints (length, timestamp delta, offset delta, key length, value length, header count), and the attributes.
    private const int MaxRecordOverhead = 5 * VarInt.MaxSize + VarInt.MaxLongSize + 1;
    private const short TransactionalBit = 0x10;
    private const short ControlBit = 0x20;

    private readonly CompressionType _compression;
    private readonly ICompressionCodec? _codec;
    private readonly PooledBuffer _plain;
    private readonly PooledBuffer? _compressed;
    private RecordBatchHeader _header;

    /// <summary>Creates a builder.</summary>
    /// <param name="compression">The codec. Batches are stored compressed even if that makes them larger.</param>
    /// <param name="codecs">Required unless <paramref name="compression"/> is <see cref="CompressionType.None"/>.</param>
    /// <param name="initialCapacity">Bytes rented from the pool at once; more are rented as needed.</param>
    /// <exception cref="CodecUnavailableException"><paramref name="codecs"/> has no such codec.</exception>
    public RecordBatchBuilder(CompressionType compression = CompressionType.None, CompressionCodecs? codecs = null,
        int initialCapacity = 16 << 10)
    {
        _compression = compression;
        if (compression != CompressionType.None)
        {
            _codec = (codecs ?? CompressionCodecs.Empty).Get(compression);
            _compressed = new PooledBuffer();
        }
        _plain = new PooledBuffer(Math.Max(initialCapacity, RecordBatchHeader.Size));
        Reset();
    }

    /// <summary>The number of records.</summary>
    public int RecordCount => _header.RecordCount;

    /// <summary>The size in bytes, including the header, before compression. An upper bound for most data.</summary>
    public int EstimatedSize => _plain.Length;

    /// <summary>Adds a record. Its bytes are copied.</summary>
    /// <param name="timestamp">Milliseconds since 1970; -1 for none.</param>
    /// <param name="key">The key's bytes.</param>
    /// <param name="hasKey">False for a null key, whatever <paramref name="key"/> is.</param>
    /// <param name="value">The value's bytes.</param>
    /// <param name="hasValue">False for a null value (a tombstone), whatever <paramref name="value"/> is.</param>
    /// <param name="headers">Names and values, in order.</param>
    public void Add(long timestamp, ReadOnlySpan<byte> key, bool hasKey, ReadOnlySpan<byte> value, bool hasValue,
        ReadOnlySpan<RecordHeader> headers = default)
    {
        var first = _header.RecordCount == 0;
        var baseTimestamp = first ? timestamp : _header.BaseTimestamp;
        // Wraps if the two are more than 2^63 apart; reading wraps back.
        var timestampDelta = unchecked(timestamp - baseTimestamp);
        var offsetDelta = _header.RecordCount;
        var bodySize = 1 + VarInt.SizeOf(timestampDelta) + VarInt.SizeOf(offsetDelta)
            + SizeOfBytes(key, hasKey) + SizeOfBytes(value, hasValue) + SizeOfHeaders(headers);

        var destination = _plain.GetSpan(VarInt.MaxSize + bodySize);
        var at = VarInt.Write(destination, bodySize);
        destination[at++] = 0; // attributes
        at += VarInt.Write(destination[at..], timestampDelta);
        at += VarInt.Write(destination[at..], offsetDelta);
        at += WriteBytes(destination[at..], key, hasKey);
        at += WriteBytes(destination[at..], value, hasValue);
        at += VarInt.Write(destination[at..], headers.Length);
        foreach (ref readonly var header in headers)
        {
            at += WriteBytes(destination[at..], header.Key.Span, present: true);
            at += WriteBytes(destination[at..], header.Value.GetValueOrDefault().Span, header.Value.HasValue);
        }
        _plain.Advance(at);
        _header = _header with
        {
            BaseTimestamp = baseTimestamp,
            MaxTimestamp = first ? timestamp : Math.Max(timestamp, _header.MaxTimestamp),
            LastOffsetDelta = offsetDelta,
            RecordCount = offsetDelta + 1,
        };
    }

    /// <summary>Returns the most bytes that a record can add, so that a batch can be closed before it grows too large.</summary>
    /// <param name="keyLength">Bytes of the key; 0 or below for none.</param>
    /// <param name="valueLength">Bytes of the value; 0 or below for none.</param>
    /// <param name="headers">Its headers.</param>
    public static int MaxRecordSize(int keyLength, int valueLength, ReadOnlySpan<RecordHeader> headers)
    {
        var size = (long)MaxRecordOverhead + Math.Max(keyLength, 0) + Math.Max(valueLength, 0);
        foreach (ref readonly var header in headers)
            size += 2 * VarInt.MaxSize + header.Key.Length + header.Value.GetValueOrDefault().Length;
        return (int)Math.Min(size, int.MaxValue);
    }

    /// <summary>Sets producer id, epoch and the sequence number of the first record. Must be called before <see cref="Build"/>.</summary>
    public void SetProducer(long producerId, short producerEpoch, int baseSequence, bool transactional = false) =>
        _header = _header with
        {
            ProducerId = producerId,
            ProducerEpoch = producerEpoch,
            BaseSequence = baseSequence,
            Attributes = transactional ? (short)(_header.Attributes | TransactionalBit) : (short)(_header.Attributes & ~TransactionalBit),
        };

    /// <summary>Marks the batch as a control batch, whose records are transaction markers instead of data.</summary>
    internal void SetControl() => _header = _header with { Attributes = (short)(_header.Attributes | ControlBit) };

    /// <summary>
    /// Seals the batch, with base offset 0 and leader epoch -1. The memory belongs to the builder and is valid until <see cref="Reset"/> or
    /// dispose.
    /// </summary>
    /// <exception cref="InvalidOperationException">No record was added.</exception>
    /// <exception cref="CodecUnavailableException">The codec's library is not installed on this machine.</exception>
    public Memory<byte> Build()
    {
        if (_header.RecordCount == 0)
            throw new InvalidOperationException("A batch needs a record: call Add before Build.");
        var batch = _plain;
        if (_codec is not null)
        {
            batch = _compressed!;
            batch.Clear();
            batch.GetSpan(RecordBatchHeader.Size);
            batch.Advance(RecordBatchHeader.Size);
            _codec.Compress(_plain.WrittenSpan[RecordBatchHeader.Size..], batch);
        }
        _header.WriteTo(batch.WrittenSpan);
        RecordBatches.Seal(batch.WrittenSpan);
        return batch.WrittenMemory;
    }

    /// <summary>Empties the builder for the next batch.</summary>
    public void Reset()
    {
        _plain.Clear();
        _plain.GetSpan(RecordBatchHeader.Size);
        _plain.Advance(RecordBatchHeader.Size);
        _header = new RecordBatchHeader(BaseOffset: 0, Length: 0, PartitionLeaderEpoch: -1, RecordBatches.Magic, Crc: 0,
            (short)_compression,
            LastOffsetDelta: 0, BaseTimestamp: 0, MaxTimestamp: 0, RecordBatchHeader.NoProducerId, ProducerEpoch: -1, BaseSequence: -1,
            RecordCount: 0);
    }

    /// <summary>Returns the memory to its pool.</summary>
    public void Dispose()
    {
        _plain.Dispose();
        _compressed?.Dispose();
    }

    private static int SizeOfBytes(ReadOnlySpan<byte> bytes, bool present) => present ? VarInt.SizeOf(bytes.Length) + bytes.Length : 1;

    private static int SizeOfHeaders(ReadOnlySpan<RecordHeader> headers)
    {
        var size = VarInt.SizeOf(headers.Length);
        foreach (ref readonly var header in headers)
            size += SizeOfBytes(header.Key.Span, present: true) + SizeOfBytes(header.Value.GetValueOrDefault().Span, header.Value.HasValue);
        return size;
    }

    private static int WriteBytes(Span<byte> destination, ReadOnlySpan<byte> bytes, bool present)
    {
        if (!present)
            return VarInt.Write(destination, -1);
        var prefix = VarInt.Write(destination, bytes.Length);
        bytes.CopyTo(destination[prefix..]);
        return prefix + bytes.Length;
    }
}
