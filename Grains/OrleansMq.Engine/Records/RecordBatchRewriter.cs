namespace OrleansMq.Records;

/// <summary>Says whether a record stays in its batch. The record's memory is valid during the call only.</summary>
public delegate bool RecordPredicate(in Record record);

/// <summary>
/// The three cases in which a broker changes the bytes it was given: LogAppendTime, a topic's <c>compression.type</c>, and compaction.
/// The results carry a new CRC. Everywhere else batches pass through unchanged.
/// </summary>
public static class RecordBatchRewriter
{
    private const short CodecBits = 0x07;
    private const short LogAppendTimeBit = 0x08;
    private const short DeleteHorizonBit = 0x40;

    /// <summary>Makes the broker's time that of all records of a batch, in place.</summary>
    /// <param name="batch">Exactly one valid batch.</param>
    /// <param name="timestamp">Milliseconds since 1970.</param>
    public static void StampLogAppendTime(Span<byte> batch, long timestamp)
    {
        var header = RecordBatchHeader.Read(batch);
        (header with { Attributes = (short)(header.Attributes | LogAppendTimeBit), MaxTimestamp = timestamp }).WriteTo(batch);
        RecordBatches.Seal(batch);
    }

    /// <summary>
    /// Writes a batch onto the end of <paramref name="destination"/> with its records compressed by another codec; all else stays.
    /// </summary>
    /// <param name="batch">Exactly one valid batch.</param>
    /// <param name="compression">The codec it shall have; <see cref="CompressionType.None"/> to store it plain.</param>
    /// <param name="codecs">To decompress and compress with.</param>
    /// <param name="destination">Gets exactly one batch more.</param>
    /// <exception cref="RecordBatchException">The records cannot be decompressed.</exception>
    /// <exception cref="CodecUnavailableException">There is no codec, or no library of it.</exception>
    public static void Recompress(ReadOnlySpan<byte> batch, CompressionType compression, CompressionCodecs codecs, PooledBuffer destination)
    {
        var header = RecordBatchHeader.Read(batch);
        if (header.Compression == compression)
        {
            destination.Write(batch);
            return;
        }
        var payload = batch[RecordBatchHeader.Size..];
        using var plain = new PooledBuffer();
        if (header.Compression != CompressionType.None && header.RecordCount > 0)
        {
            codecs.Get(header.Compression).Decompress(payload, plain, RecordBatches.MaxDecompressedSize);
            payload = plain.WrittenSpan;
        }
        Write(header, payload, compression, codecs, destination);
    }

    /// <summary>
    /// Writes a batch onto the end of <paramref name="destination"/> with those of its records that <paramref name="keep"/> keeps, each at
    /// its offset and with its timestamp. Base offset, last offset delta, leader epoch and the producer's fields stay, also where no record
    /// does: then the batch is a bare header that still tells the producer's last sequence.
    /// </summary>
    /// <param name="batch">Exactly one valid batch.</param>
    /// <param name="keep">Asked once for each record, in order.</param>
    /// <param name="codecs">To decompress and compress with; the batch keeps its codec.</param>
    /// <param name="destination">Gets exactly one batch more; truncate it to drop a batch that came out empty.</param>
    /// <param name="deleteHorizon">When not null, the time in milliseconds since 1970 after which the batch's tombstones (or its marker)
    /// may go: stored as base timestamp with attribute bit 6.</param>
    /// <returns>How many records were kept.</returns>
    /// <exception cref="RecordBatchException">The batch is not valid.</exception>
    /// <exception cref="CodecUnavailableException">There is no codec, or no library of it.</exception>
    public static int Retain(ReadOnlyMemory<byte> batch, RecordPredicate keep, CompressionCodecs codecs, PooledBuffer destination,
        long? deleteHorizon = null)
    {
        using var reader = new RecordReader(batch, codecs, verifyCrc: false);
        if (!reader.MoveNextBatch())
            throw new RecordBatchException(RecordBatchError.Truncated, "There is no batch.");
        var header = reader.Batch;
        var baseTimestamp = deleteHorizon ?? header.BaseTimestamp;
        using var kept = new PooledBuffer();
        var count = 0;
        var maxTimestamp = long.MinValue;
        while (reader.HasRecordsLeft)
        {
            reader.MoveNext();
            var record = reader.Current;
            if (!keep(record))
                continue;
            count++;
            maxTimestamp = Math.Max(maxTimestamp, record.Timestamp);
            CopyRecord(reader, unchecked(header.BaseTimestamp - baseTimestamp), kept);
        }
        if (count == header.RecordCount && deleteHorizon is null)
        {
            destination.Write(batch.Span[..header.SizeInBytes]);
            return count;
        }
        header = header with
        {
            RecordCount = count,
            BaseTimestamp = baseTimestamp,
            MaxTimestamp = count == 0 ? header.MaxTimestamp : maxTimestamp,
            Attributes = deleteHorizon is null ? header.Attributes : (short)(header.Attributes | DeleteHorizonBit),
        };
        Write(header, kept.WrittenSpan, header.Compression, codecs, destination);
        return count;
    }

    // Deltas count from the base offset and the base timestamp: while both stay, so do the record's bytes.
    private static void CopyRecord(RecordReader reader, long shift, PooledBuffer destination)
    {
        if (shift == 0)
        {
            destination.Write(reader.CurrentBytes);
            return;
        }
        var layout = reader.CurrentLayout;
        var tail = reader.CurrentBytes[(layout.TailStart - layout.Start)..];
        var timestampDelta = unchecked(layout.TimestampDelta + shift);
        var bodySize = 1 + VarInt.SizeOf(timestampDelta) + VarInt.SizeOf(layout.OffsetDelta) + tail.Length;
        var span = destination.GetSpan(VarInt.MaxSize + bodySize);
        var at = VarInt.Write(span, bodySize);
        span[at++] = 0; // attributes
        at += VarInt.Write(span[at..], timestampDelta);
        at += VarInt.Write(span[at..], layout.OffsetDelta);
        tail.CopyTo(span[at..]);
        destination.Advance(at + tail.Length);
    }

    private static void Write(RecordBatchHeader header, ReadOnlySpan<byte> records, CompressionType compression, CompressionCodecs codecs,
        PooledBuffer destination)
    {
        // Nothing is nothing in every codec's stead: readers take an empty batch for plain.
        if (header.RecordCount == 0)
            compression = CompressionType.None;
        var start = destination.Length;
        destination.GetSpan(RecordBatchHeader.Size);
        destination.Advance(RecordBatchHeader.Size);
        if (compression == CompressionType.None)
            destination.Write(records);
        else
            codecs.Get(compression).Compress(records, destination);
        var batch = destination.WrittenSpan[start..];
        (header with { Attributes = (short)((header.Attributes & ~CodecBits) | (int)compression) }).WriteTo(batch);
        RecordBatches.Seal(batch);
    }
}
