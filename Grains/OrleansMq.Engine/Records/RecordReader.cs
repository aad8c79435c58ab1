namespace OrleansMq.Records;

/// <summary>One record, as spans and slices over the batch's (decompressed) bytes.</summary>
public readonly struct Record
{
    /// <summary>Its offset in the partition.</summary>
    public long Offset { get; init; }
    /// <summary>Milliseconds since 1970: the producer's, or the broker's where the batch says LogAppendTime.</summary>
    public long Timestamp { get; init; }
    /// <summary>The key; null where the record has none.</summary>
    public ReadOnlyMemory<byte>? Key { get; init; }
    /// <summary>The value; null is a tombstone.</summary>
    public ReadOnlyMemory<byte>? Value { get; init; }
    /// <summary>How many headers there are.</summary>
    public int HeaderCount { get; init; }
    /// <summary>The headers' bytes, for <see cref="ReadHeaders"/>.</summary>
    public ReadOnlyMemory<byte> HeaderBytes { get; init; }

    /// <summary>The headers, decoded.</summary>
    public RecordHeader[] ReadHeaders() => throw new NotImplementedException();
}

/// <summary>Checks and iterates record batches.</summary>
public static class RecordBatches
{
    /// <summary>
    /// Checks a batch's header (length, magic, CRC, count, codec, producer fields) without looking inside what is compressed.
    /// </summary>
    /// <returns>Null when it is valid; otherwise what is wrong, with a message that names the field.</returns>
    public static RecordBatchFault? Validate(ReadOnlySpan<byte> batch, out RecordBatchHeader header) => throw new NotImplementedException();

    /// <summary>
    /// Checks every record of a valid batch: count, offset deltas 0 to the last, lengths, and that nothing is left over; decompresses where needed.
    /// </summary>
    public static RecordBatchFault? ValidateRecords(ReadOnlySpan<byte> batch, CompressionCodecs codecs) => throw new NotImplementedException();
}

/// <summary>What is wrong with a batch.</summary>
/// <param name="Error">Which rule it breaks.</param>
/// <param name="Message">The field and its value.</param>
public sealed record RecordBatchFault(RecordBatchError Error, string Message);

/// <summary>
/// Iterates the records of one or many concatenated batches, decompressing into a pooled buffer that lives until the next batch.
/// Typical use: <c>using var reader = new RecordReader(bytes, codecs); while (reader.MoveNext()) use(reader.Current);</c>
/// </summary>
public sealed class RecordReader : IDisposable
{
    /// <summary>A reader over whole batches.</summary>
    public RecordReader(ReadOnlyMemory<byte> batches, CompressionCodecs codecs) => throw new NotImplementedException();

    /// <summary>The batch that <see cref="Current"/> belongs to.</summary>
    public RecordBatchHeader Batch => throw new NotImplementedException();

    /// <summary>The record; valid until the next <see cref="MoveNext"/> that enters another batch.</summary>
    public Record Current => throw new NotImplementedException();

    /// <summary>Steps to the next record, over batches that have none left.</summary>
    /// <exception cref="RecordBatchException">The bytes are not valid batches.</exception>
    public bool MoveNext() => throw new NotImplementedException();

    /// <summary>Returns the memory to its pool.</summary>
    public void Dispose() => throw new NotImplementedException();
}
