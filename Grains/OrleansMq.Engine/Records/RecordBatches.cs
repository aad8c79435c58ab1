using System.Buffers.Binary;

namespace OrleansMq.Records;

/// <summary>Validates record batches: bytes from a network or disk, which may contain anything.</summary>
internal static class RecordBatches
{
    /// <summary>The magic byte of format v2, the only supported one.</summary>
    public const sbyte Magic = 2;

    /// <summary>
    /// The maximum decompressed size of one batch in bytes: 256 MiB. Producers limit a batch by its uncompressed size (16 KiB to a few
    /// MiB), so legitimate batches stay far below, and malicious ones are bounded.
    /// </summary>
    public const int MaxDecompressedSize = 256 << 20;

    /// <summary>
    /// Checks a batch's header (length, magic, CRC, count, codec, producer fields) without decompressing. Accepts everything that a log may
    /// contain, such as control batches and batches that compaction reduced or emptied. Batches from producers must pass
    /// <see cref="ValidateProduced"/>.
    /// </summary>
    /// <param name="batch">The batch; bytes after it are ignored.</param>
    /// <param name="header">Its header, if there are enough bytes for one.</param>
    /// <returns>Null for a valid batch; otherwise the fault, with a message that names the field.</returns>
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
    /// Checks a producer's batch like <see cref="Validate"/>. In addition it must be exactly one batch of at least one data record, with
    /// offset deltas without gaps, and without attributes that only a broker sets.
    /// </summary>
    /// <returns>Null for a valid batch; otherwise the fault, with a message that names the field.</returns>
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
    /// Checks every record of a valid batch: count, offset deltas, lengths, and no bytes left over. Decompresses if needed, without keeping
    /// what is decompressed.
    /// </summary>
    /// <param name="batch">A batch that <see cref="Validate"/> has passed; bytes after it are ignored.</param>
    /// <param name="codecs">The codecs for compressed batches; a missing one is <see cref="RecordBatchError.BadCodec"/>.</param>
    /// <param name="allowGaps">Whether offset deltas may have gaps, as after compaction; otherwise they run from 0 to the last.</param>
    /// <param name="keyless">Receives the indexes of records without a key, unless null.</param>
    /// <param name="allowance">Counts what is decompressed, unless null.</param>
    /// <returns>Null for valid records; otherwise the fault, with a message that names the record.</returns>
    public static RecordBatchFault? ValidateRecords(ReadOnlySpan<byte> batch, CompressionCodecs codecs, bool allowGaps = false,
        List<int>? keyless = null, DecompressionAllowance? allowance = null)
    {
        if (ValidateFrame(batch, out var header) is { } fault)
            return fault;
        if (ValidateFields(header) is { } fieldFault)
            return fieldFault;
        if (!allowGaps && ValidateNoGaps(header) is { } gapFault)
            return gapFault;
        var payload = batch[RecordBatchHeader.Size..header.SizeInBytes];
        if (header.Compression == CompressionType.None || header.RecordCount == 0)
            return ValidatePlainRecords(payload, header, allowGaps, keyless);
        try
        {
            // A batch of a used up allowance is not decompressed at all.
            allowance?.Check();
            var codec = codecs.Get(header.Compression);
            using var check = new RecordCheck(header, allowGaps, keyless, allowance);
            check.Begin(codec.WindowOf(payload));
            codec.Decompress(payload, check, MaxDecompressedSize);
            check.End();
            return null;
        }
        catch (RecordBatchException exception)
        {
            return new(exception.Error, exception.Message);
        }
        catch (CodecUnavailableException exception)
        {
            return new(RecordBatchError.BadCodec, exception.Message);
        }
    }

    /// <summary>
    /// Whether a compressed batch claims more records than its payload has bytes. The offset delta of a record is a new number, so each
    /// takes a codec's work: only zstd gets beyond, with ten thousands of records that are the same otherwise, and then by little. The
    /// claims of other batches are thus bounded by their bytes, without decompressing them.
    /// </summary>
    public static bool IsDense(in RecordBatchHeader header) =>
        header.Compression != CompressionType.None && header.RecordCount > header.SizeInBytes - RecordBatchHeader.Size;

    /// <summary>Whether a batch has the bytes that its CRC was computed for.</summary>
    /// <param name="batch">The batch; bytes after it are ignored.</param>
    public static bool IsIntact(ReadOnlySpan<byte> batch) => ValidateFrame(batch, out var header) is null
        && Crc32C.Compute(batch[RecordBatchHeader.CrcStart..header.SizeInBytes]) == header.Crc;

    /// <summary>Maps a fault to the protocol's error code.</summary>
    public static ErrorCode ToErrorCode(this RecordBatchError error) => error switch
    {
        RecordBatchError.BadCodec => ErrorCode.UnsupportedCompressionType,
        RecordBatchError.BadRecordCount or RecordBatchError.BadOffsets or RecordBatchError.BadRecord or RecordBatchError.BadProducer
            or RecordBatchError.BadAttributes => ErrorCode.InvalidRecord,
        RecordBatchError.Busy => ErrorCode.KafkaStorageError,
        // Not an error that clients retry.
        RecordBatchError.TooLong or RecordBatchError.TooMuch => ErrorCode.MessageTooLarge,
        _ => ErrorCode.CorruptMessage,
    };

    /// <summary>Stamps length and CRC into a batch whose other bytes are final.</summary>
    internal static void Seal(Span<byte> batch)
    {
        BinaryPrimitives.WriteInt32BigEndian(batch[8..], batch.Length - RecordBatchHeader.Overhead);
        BinaryPrimitives.WriteUInt32BigEndian(batch[17..], Crc32C.Compute(batch[RecordBatchHeader.CrcStart..]));
    }

    /// <summary>Checks the fields that determine where the batch ends, and that the bytes contain it completely.</summary>
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

    /// <summary>Checks the fields that do not determine where the batch ends.</summary>
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
        if (header.RecordCount > MaxDecompressedSize / RecordLayout.MinSize)
            return new(RecordBatchError.BadRecordCount,
                $"Record count is {header.RecordCount}; {MaxDecompressedSize >> 20} MiB, the most of a batch, cannot hold so many.");
        if (header.ProducerId < RecordBatchHeader.NoProducerId)
            return new(RecordBatchError.BadProducer, $"Producer id is {header.ProducerId}; it must be -1 (none) or above.");
        // Transaction markers are not part of the producer's sequence.
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

    private static RecordBatchFault? ValidatePlainRecords(ReadOnlySpan<byte> records, in RecordBatchHeader header, bool allowGaps,
        List<int>? keyless)
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
            if (layout.KeyLength < 0)
                keyless?.Add(i);
        }
        return position == records.Length
            ? null
            : new(RecordBatchError.BadRecordCount, $"{records.Length - position} bytes follow the last of {header.RecordCount} records.");
    }
}

/// <summary>What is wrong with a batch.</summary>
/// <param name="Error">Which rule it breaks.</param>
/// <param name="Message">The field and its value.</param>
internal sealed record RecordBatchFault(RecordBatchError Error, string Message);
