using System.Buffers.Binary;

namespace OrleansMq.Records;

/// <summary>Checks record batches: bytes that came over a wire or from a disk, and may be anything.</summary>
public static class RecordBatches
{
    /// <summary>The magic byte of format v2, the only one there is here.</summary>
    public const sbyte Magic = 2;

    /// <summary>
    /// Bytes that the records of one batch decompress to at most: 256 MiB. Producers fill a batch by its uncompressed size (16 KiB to a few
    /// MiB), so none that means well comes near, and one that does not cannot take more.
    /// </summary>
    public const int MaxDecompressedSize = 256 << 20;

    /// <summary>
    /// Checks a batch's header (length, magic, CRC, count, codec, producer fields) without looking inside what is compressed. Accepts what
    /// may stand in a log: control batches, and batches that compaction thinned out or emptied. What producers send has to pass
    /// <see cref="ValidateProduced"/>.
    /// </summary>
    /// <param name="batch">The batch; bytes after it are ignored.</param>
    /// <param name="header">Its header, where there are bytes enough for one.</param>
    /// <returns>Null when it is valid; otherwise what is wrong, with a message that names the field.</returns>
    public static RecordBatchFault? Validate(ReadOnlySpan<byte> batch, out RecordBatchHeader header)
    {
        if (ValidateFrame(batch, out header) is { } frameFault)
            return frameFault;
        var crc = Crc32C.Compute(batch[RecordBatchHeader.CrcStart..header.SizeInBytes]);
        return crc != header.Crc
            ? new(RecordBatchError.BadCrc, $"CRC is 0x{header.Crc:X8}; the bytes have 0x{crc:X8}.")
            : ValidateFields(header);
    }

    /// <summary>
    /// Checks what a producer sent as <see cref="Validate"/> does, and that it is exactly one batch of 1 or more data records with offset
    /// deltas that leave no gap, without attributes that only a broker sets.
    /// </summary>
    /// <returns>Null when it is valid; otherwise what is wrong, with a message that names the field.</returns>
    public static RecordBatchFault? ValidateProduced(ReadOnlySpan<byte> batch, out RecordBatchHeader header)
    {
        if (Validate(batch, out header) is { } fault)
            return fault;
        if (header.SizeInBytes != batch.Length)
            return new(RecordBatchError.BadLength, $"{batch.Length - header.SizeInBytes} bytes follow the batch; send exactly one batch.");
        if (header.IsControl || header.IsLogAppendTime || header.HasDeleteHorizon)
            return new(RecordBatchError.BadAttributes,
                $"Attributes are 0x{header.Attributes:X4}; LogAppendTime, control and delete horizon are the broker's.");
        return header.RecordCount == 0
            ? new(RecordBatchError.BadRecordCount, "Record count is 0; send at least one record.")
            : ValidateNoGaps(header);
    }

    /// <summary>
    /// Checks every record of a valid batch: count, offset deltas, lengths, and that nothing is left over; decompresses where needed.
    /// </summary>
    /// <param name="batch">A batch that <see cref="Validate"/> has passed; bytes after it are ignored.</param>
    /// <param name="codecs">To look into compressed batches with; a missing codec is <see cref="RecordBatchError.BadCodec"/>.</param>
    /// <param name="allowGaps">Whether offset deltas may leave gaps, as compaction does; otherwise they run from 0 to the last.</param>
    /// <returns>Null when they are valid; otherwise what is wrong, with a message that names the record.</returns>
    public static RecordBatchFault? ValidateRecords(ReadOnlySpan<byte> batch, CompressionCodecs codecs, bool allowGaps = false)
    {
        if (ValidateFrame(batch, out var header) is { } fault)
            return fault;
        if (ValidateFields(header) is { } fieldFault)
            return fieldFault;
        if (!allowGaps && ValidateNoGaps(header) is { } gapFault)
            return gapFault;
        var payload = batch[RecordBatchHeader.Size..header.SizeInBytes];
        if (header.Compression == CompressionType.None || header.RecordCount == 0)
            return ValidatePlainRecords(payload, header, allowGaps);
        using var plain = new PooledBuffer();
        try
        {
            codecs.Get(header.Compression).Decompress(payload, plain, MaxDecompressedSize);
        }
        catch (RecordBatchException exception)
        {
            return new(exception.Error, exception.Message);
        }
        catch (CodecUnavailableException exception)
        {
            return new(RecordBatchError.BadCodec, exception.Message);
        }
        return ValidatePlainRecords(plain.WrittenSpan, header, allowGaps);
    }

    /// <summary>The protocol's error code for a fault.</summary>
    public static ErrorCode ToErrorCode(this RecordBatchError error) => error switch
    {
        RecordBatchError.BadCodec => ErrorCode.UnsupportedCompressionType,
        RecordBatchError.BadRecordCount or RecordBatchError.BadOffsets or RecordBatchError.BadRecord or RecordBatchError.BadProducer
            or RecordBatchError.BadAttributes => ErrorCode.InvalidRecord,
        _ => ErrorCode.CorruptMessage,
    };

    /// <summary>Stamps length and CRC of a batch whose other bytes are final.</summary>
    internal static void Seal(Span<byte> batch)
    {
        BinaryPrimitives.WriteInt32BigEndian(batch[8..], batch.Length - RecordBatchHeader.Overhead);
        BinaryPrimitives.WriteUInt32BigEndian(batch[17..], Crc32C.Compute(batch[RecordBatchHeader.CrcStart..]));
    }

    /// <summary>Checks what says where the batch ends, and that it ends within the bytes there are.</summary>
    internal static RecordBatchFault? ValidateFrame(ReadOnlySpan<byte> batch, out RecordBatchHeader header)
    {
        if (batch.Length < RecordBatchHeader.Size)
        {
            header = default;
            return new(RecordBatchError.Truncated, $"A record batch header is {RecordBatchHeader.Size} bytes; there are {batch.Length}.");
        }
        header = RecordBatchHeader.Read(batch);
        if (header.Magic != Magic)
            return new(RecordBatchError.BadMagic, $"Magic is {header.Magic}; only {Magic} is supported.");
        if (header.Length is < RecordBatchHeader.Size - RecordBatchHeader.Overhead or > int.MaxValue - RecordBatchHeader.Overhead)
            return new(RecordBatchError.BadLength,
                $"Length is {header.Length}; the least is {RecordBatchHeader.Size - RecordBatchHeader.Overhead}.");
        if (header.SizeInBytes > batch.Length)
            return new(RecordBatchError.Truncated, $"The batch has {header.SizeInBytes} bytes; there are {batch.Length}.");
        return null;
    }

    /// <summary>Checks the fields that do not say where the batch ends.</summary>
    internal static RecordBatchFault? ValidateFields(in RecordBatchHeader header)
    {
        if (header.Compression > CompressionType.Zstd)
            return new(RecordBatchError.BadCodec, $"Codec is {(int)header.Compression}; defined are 0 to {(int)CompressionType.Zstd}.");
        if (header.LastOffsetDelta < 0)
            return new(RecordBatchError.BadOffsets, $"Last offset delta is {header.LastOffsetDelta}; it must be 0 or above.");
        if (header.RecordCount < 0 || header.RecordCount > header.LastOffsetDelta + 1L)
            return new(RecordBatchError.BadRecordCount,
                $"Record count is {header.RecordCount}, last offset delta {header.LastOffsetDelta}.");
        var payload = header.SizeInBytes - RecordBatchHeader.Size;
        if (header.Compression == CompressionType.None && header.RecordCount > payload / RecordLayout.MinSize)
            return new(RecordBatchError.BadRecordCount,
                $"Record count is {header.RecordCount}; {payload} bytes cannot hold so many.");
        if (header.ProducerId < RecordBatchHeader.NoProducerId)
            return new(RecordBatchError.BadProducer, $"Producer id is {header.ProducerId}; it must be -1 (none) or above.");
        // Markers of transactions are outside the producer's sequence.
        if (header.HasProducer && (header.ProducerEpoch < 0 || (header.BaseSequence < 0 && !header.IsControl)))
            return new(RecordBatchError.BadProducer,
                $"Producer epoch is {header.ProducerEpoch}, base sequence {header.BaseSequence}; "
                + "with a producer id both must be 0 or above.");
        if (header.IsTransactional && !header.HasProducer)
            return new(RecordBatchError.BadProducer, "A transactional batch needs a producer id.");
        return null;
    }

    private static RecordBatchFault? ValidateNoGaps(in RecordBatchHeader header) => header.RecordCount == header.LastOffsetDelta + 1L
        ? null
        : new(RecordBatchError.BadOffsets,
            $"Record count is {header.RecordCount}, last offset delta {header.LastOffsetDelta}; they must be n and n - 1.");

    private static RecordBatchFault? ValidatePlainRecords(ReadOnlySpan<byte> records, in RecordBatchHeader header, bool allowGaps)
    {
        var position = 0;
        var previous = -1;
        for (var i = 0; i < header.RecordCount; i++)
        {
            if (position == records.Length)
                return new(RecordBatchError.BadRecordCount, $"Record count is {header.RecordCount}; there are {i}.");
            if (RecordLayout.TryRead(records, ref position, out var layout) is { } fault)
                return new(RecordBatchError.BadRecord, $"Record {i}: {fault}.");
            if (layout.OffsetDelta <= previous || layout.OffsetDelta > header.LastOffsetDelta || (!allowGaps && layout.OffsetDelta != i))
                return new(RecordBatchError.BadOffsets,
                    $"Record {i} has offset delta {layout.OffsetDelta} after {previous}, last offset delta {header.LastOffsetDelta}.");
            previous = layout.OffsetDelta;
        }
        return position == records.Length
            ? null
            : new(RecordBatchError.BadRecordCount, $"{records.Length - position} bytes follow the last of {header.RecordCount} records.");
    }
}

/// <summary>What is wrong with a batch.</summary>
/// <param name="Error">Which rule it breaks.</param>
/// <param name="Message">The field and its value.</param>
public sealed record RecordBatchFault(RecordBatchError Error, string Message);
