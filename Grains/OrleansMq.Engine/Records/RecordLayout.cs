namespace OrleansMq.Records;

/// <summary>
/// The positions of the parts of one record in the (decompressed) bytes that follow a batch's header.
/// <code>
/// length varint (of what follows) | attributes i8, unused | timestamp delta varlong | offset delta varint
/// key length varint, -1 null | key | value length varint, -1 null | value
/// header count varint | per header: key length varint, key, value length varint, -1 null, value
/// </code>
/// </summary>
internal readonly struct RecordLayout
{
    /// <summary>The size of a record without key, value and headers: one byte per field.</summary>
    public const int MinSize = 7;

    public int Start { get; private init; }
    public int End { get; private init; }
    public long TimestampDelta { get; private init; }
    public int OffsetDelta { get; private init; }
    /// <summary>The position after the offset delta. The bytes from here on stay the same when deltas are rewritten.</summary>
    public int TailStart { get; private init; }
    public int KeyStart { get; private init; }
    public int KeyLength { get; private init; }
    public int ValueStart { get; private init; }
    public int ValueLength { get; private init; }
    public int HeaderCount { get; private init; }
    public int HeadersStart { get; private init; }

    /// <summary>
    /// Reads the record at <paramref name="position"/> and advances past it. Every length is checked against the available bytes.
    /// </summary>
    /// <returns>Null, or the fault.</returns>
    public static string? TryRead(ReadOnlySpan<byte> records, ref int position, out RecordLayout layout)
    {
        layout = default;
        var start = position;
        var at = position;
        if (!VarInt.TryRead(records, ref at, out int length))
            return "length is not a varint";
        if (length < MinSize - 1 || length > records.Length - at)
            return $"length is {length}; {records.Length - at} bytes are left";
        var end = at + length;
        var body = records[..end];
        at++; // attributes
        if (!VarInt.TryRead(body, ref at, out long timestampDelta))
            return "timestamp delta is not a varlong";
        if (!VarInt.TryRead(body, ref at, out int offsetDelta))
            return "offset delta is not a varint";
        var tailStart = at;
        if (TryReadBytes(body, ref at, nullable: true, out var keyStart, out var keyLength) is { } keyFault)
            return "key " + keyFault;
        if (TryReadBytes(body, ref at, nullable: true, out var valueStart, out var valueLength) is { } valueFault)
            return "value " + valueFault;
        if (!VarInt.TryRead(body, ref at, out int headerCount) || headerCount < 0)
            return "header count is not a varint of 0 or above";
        var headersStart = at;
        if (SkipHeaders(body, ref at, headerCount) is { } headerFault)
            return headerFault;
        if (at != end)
            return $"{end - at} bytes follow the last header";
        position = end;
        layout = new RecordLayout
        {
            Start = start,
            End = end,
            TimestampDelta = timestampDelta,
            OffsetDelta = offsetDelta,
            TailStart = tailStart,
            KeyStart = keyStart,
            KeyLength = keyLength,
            ValueStart = valueStart,
            ValueLength = valueLength,
            HeaderCount = headerCount,
            HeadersStart = headersStart,
        };
        return null;
    }

    /// <summary>Reads where the record at <paramref name="position"/> ends, and its offset delta.</summary>
    /// <returns>False if its first fields are malformed.</returns>
    public static bool TryReadEnd(ReadOnlySpan<byte> records, int position, out int end, out int offsetDelta)
    {
        (end, offsetDelta) = (0, 0);
        if (!VarInt.TryRead(records, ref position, out int length) || length < MinSize - 1 || length > records.Length - position)
            return false;
        end = position + length;
        position++; // attributes
        return VarInt.TryRead(records[..end], ref position, out long _) && VarInt.TryRead(records[..end], ref position, out offsetDelta);
    }

    /// <summary>Reads a length and advances past that many bytes.</summary>
    /// <returns>Null, or the fault.</returns>
    public static string? TryReadBytes(ReadOnlySpan<byte> source, ref int position, bool nullable, out int start, out int length)
    {
        start = 0;
        if (!VarInt.TryRead(source, ref position, out length))
            return "length is not a varint";
        start = position;
        if (length < (nullable ? -1 : 0) || length > source.Length - position)
            return $"length is {length}; {source.Length - position} bytes are left";
        position += Math.Max(length, 0);
        return null;
    }

    private static string? SkipHeaders(ReadOnlySpan<byte> body, ref int position, int count)
    {
        // A header has at least two bytes, so a higher count is wrong before any header is read.
        if (count > (body.Length - position) / 2)
            return $"header count is {count}; {body.Length - position} bytes are left";
        for (var i = 0; i < count; i++)
        {
            if (TryReadBytes(body, ref position, nullable: false, out _, out _) is { } keyFault)
                return $"header {i}: key {keyFault}";
            if (TryReadBytes(body, ref position, nullable: true, out _, out _) is { } valueFault)
                return $"header {i}: value {valueFault}";
        }
        return null;
    }
}
