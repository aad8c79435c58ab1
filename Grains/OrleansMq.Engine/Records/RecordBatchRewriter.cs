namespace OrleansMq.Records;

/// <summary>Decides whether a record stays in its batch. The record's memory is valid only during the call.</summary>
internal delegate bool RecordPredicate(in Record record);

/// <summary>
/// The three cases in which a broker changes the bytes of a batch: LogAppendTime, a topic's <c>compression.type</c>, and compaction. The
/// results have a new CRC. Otherwise batches pass through unchanged.
/// </summary>
internal static class RecordBatchRewriter
{
    private const short CodecBits = 0x07;
    private const short LogAppendTimeBit = 0x08;
    private const short DeleteHorizonBit = 0x40;

    /// <summary>Sets the timestamps of all records of a batch to the broker's time, in place.</summary>
    /// <param name="batch">Exactly one valid batch.</param>
    /// <param name="timestamp">Milliseconds since 1970.</param>
    public static void StampLogAppendTime(Span<byte> batch, long timestamp)
    {
        var header = RecordBatchHeader.Read(batch);
        (header with { Attributes = (short)(header.Attributes | LogAppendTimeBit), MaxTimestamp = timestamp }).WriteTo(batch);
        RecordBatches.Seal(batch);
    }

    /// <summary>
    /// Recompresses the records of a batch with another codec and appends the batch to <paramref name="destination"/>. Nothing else
    /// changes.
    /// </summary>
    /// <param name="batch">Exactly one valid batch.</param>
    /// <param name="compression">The new codec; <see cref="CompressionType.None"/> stores the records uncompressed.</param>
    /// <param name="codecs">The codecs to decompress and compress with.</param>
    /// <param name="destination">Receives exactly one batch.</param>
    /// <param name="allowance">Counts what is decompressed, unless null.</param>
    /// <exception cref="RecordBatchException">The records cannot be decompressed, or not now (<see cref="RecordBatchError.Busy"/>).
    /// </exception>
    /// <exception cref="CodecUnavailableException">The codec, or its library, is not available.</exception>
    public static void Recompress(ReadOnlySpan<byte> batch, CompressionType compression, CompressionCodecs codecs, PooledBuffer destination,
        DecompressionAllowance? allowance = null)
    {
        var header = RecordBatchHeader.Read(batch);
        if (header.Compression == compression)
        {
            destination.Write(batch);
            return;
        }
        var payload = batch[RecordBatchHeader.Size..];
        if (header.Compression == CompressionType.None || header.RecordCount == 0)
        {
            Write(header, payload, compression, codecs, destination);
            return;
        }
        // A batch of a used up allowance is not decompressed at all.
        allowance?.Check();
        var codec = codecs.Get(header.Compression);
        using var plain = new PooledBuffer();
        if (TryDecompressSmall(codec, payload, plain, allowance))
        {
            Write(header, plain.WrittenSpan, compression, codecs, destination);
            return;
        }
        plain.Dispose();
        LargeBatches.Appends.Enter(header.Crc);
        try
        {
            DecompressLarge(codec, payload, plain, allowance);
            Write(header, plain.WrittenSpan, compression, codecs, destination);
        }
        finally
        {
            // Before the next batch has the turn.
            plain.Dispose();
            LargeBatches.Appends.Exit();
        }
    }

    /// <summary>
    /// Appends a batch to <paramref name="destination"/> with the records that <paramref name="keep"/> selects, at their offsets and with
    /// their timestamps. Base offset, last offset delta, leader epoch and producer fields are unchanged. If no record is kept, the batch is
    /// a bare header that preserves the producer's last sequence.
    /// </summary>
    /// <param name="batch">Exactly one valid batch.</param>
    /// <param name="keep">Called once for each record, in order.</param>
    /// <param name="codecs">The codecs to decompress and compress with; the batch keeps its codec.</param>
    /// <param name="destination">Receives exactly one batch; truncate it to drop an empty one.</param>
    /// <param name="deleteHorizon">If not null, the time in milliseconds since 1970 after which the batch's tombstones (or its marker) may
    /// be removed. Stored as base timestamp with attribute bit 6.</param>
    /// <returns>The number of kept records.</returns>
    /// <param name="takesTurns">As that of a <see cref="RecordReader"/>.</param>
    /// <exception cref="RecordBatchException">The batch is not valid, or not readable now (<see cref="RecordBatchError.Busy"/>).
    /// </exception>
    /// <exception cref="CodecUnavailableException">The codec, or its library, is not available.</exception>
    public static int Retain(ReadOnlyMemory<byte> batch, RecordPredicate keep, CompressionCodecs codecs, PooledBuffer destination,
        long? deleteHorizon = null, bool takesTurns = false)
    {
        using var reader = new RecordReader(batch, codecs, verifyCrc: false, takesTurns);
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

    /// <summary>Appends the bare header of a batch to <paramref name="destination"/>, as <see cref="Retain"/> does if no record is
    /// kept.</summary>
    /// <param name="batch">Exactly one valid batch.</param>
    /// <param name="destination">Receives exactly one batch.</param>
    public static void RetainNone(ReadOnlySpan<byte> batch, PooledBuffer destination) =>
        Write(RecordBatchHeader.Read(batch) with { RecordCount = 0 }, default, CompressionType.None, CompressionCodecs.Empty, destination);

    // What was decompressed counts even if the batch is too long or not readable: it took the time.
    private static bool TryDecompressSmall(ICompressionCodec codec, ReadOnlySpan<byte> payload, PooledBuffer plain,
        DecompressionAllowance? allowance)
    {
        bool isSmall;
        try
        {
            isSmall = LargeBatches.TryDecompressSmall(codec, payload, plain);
        }
        finally
        {
            allowance?.Count(plain.Length);
        }
        allowance?.Check();
        return isSmall;
    }

    private static void DecompressLarge(ICompressionCodec codec, ReadOnlySpan<byte> payload, PooledBuffer plain,
        DecompressionAllowance? allowance)
    {
        try
        {
            codec.Decompress(payload, plain, RecordBatches.MaxDecompressedSize);
        }
        finally
        {
            allowance?.Count(plain.Length);
        }
        allowance?.Check();
    }

    // Deltas are relative to base offset and base timestamp. While both are unchanged, so are the record's bytes.
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
        // An empty payload is stored uncompressed, whatever the codec, since readers take an empty batch as uncompressed.
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
