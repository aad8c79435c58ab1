namespace OrleansMq.Records;

/// <summary>One record, as slices over the batch's (decompressed) bytes.</summary>
public readonly struct Record
{
    /// <summary>The record's offset in the partition.</summary>
    public long Offset { get; init; }
    /// <summary>Milliseconds since 1970: the producer's time, or the broker's if the batch has LogAppendTime.</summary>
    public long Timestamp { get; init; }
    /// <summary>The key; null if the record has none.</summary>
    public ReadOnlyMemory<byte>? Key { get; init; }
    /// <summary>The value; null is a tombstone.</summary>
    public ReadOnlyMemory<byte>? Value { get; init; }
    /// <summary>The number of headers.</summary>
    public int HeaderCount { get; init; }
    /// <summary>The headers' bytes, for <see cref="ReadHeaders"/>.</summary>
    public ReadOnlyMemory<byte> HeaderBytes { get; init; }

    /// <summary>Decodes the headers, as slices over the same memory as the record.</summary>
    /// <exception cref="RecordBatchException"><see cref="RecordBatchError.BadRecord"/>: <see cref="HeaderBytes"/> are not
    /// <see cref="HeaderCount"/> headers. Never for a record that a <see cref="RecordReader"/> returned.</exception>
    public RecordHeader[] ReadHeaders()
    {
        if (HeaderCount == 0)
            return [];
        var bytes = HeaderBytes;
        if (HeaderCount < 0 || HeaderCount > bytes.Length / 2)
            throw new RecordBatchException(RecordBatchError.BadRecord, $"Header count is {HeaderCount}; there are {bytes.Length} bytes.");
        var headers = new RecordHeader[HeaderCount];
        var position = 0;
        for (var i = 0; i < headers.Length; i++)
        {
            var key = ReadBytes(bytes, ref position, nullable: false);
            headers[i] = new RecordHeader(key.GetValueOrDefault(), ReadBytes(bytes, ref position, nullable: true));
        }
        return headers;
    }

    private static ReadOnlyMemory<byte>? ReadBytes(ReadOnlyMemory<byte> bytes, ref int position, bool nullable)
    {
        if (RecordLayout.TryReadBytes(bytes.Span, ref position, nullable, out var start, out var length) is { } fault)
            throw new RecordBatchException(RecordBatchError.BadRecord, "Header " + fault);
        return length < 0 ? (ReadOnlyMemory<byte>?)null : bytes.Slice(start, length);
    }
}
