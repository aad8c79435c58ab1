namespace OrleansMq.Partitions.Cursors;

/// <summary>Reads the keys of records, for cursors that keep the order by key.</summary>
internal static class RecordKeys
{
    /// <inheritdoc cref="RecordScan.Read{T}"/>
    /// <returns>The records, each with a hash of its key; it is the same for as long as the process lives.</returns>
    public static List<(long Offset, long? Key)> Read(Partition partition, long from, int most, out long end, out UnreadRecords? unread) =>
        RecordScan.Read<(long, long?)>(partition, from, most,
            static (in batch, in record) => (record.Offset, record.Key is { } key ? Hash(key.Span) : null),
            readNothing: null, out end, out unread);

    private static long Hash(ReadOnlySpan<byte> key)
    {
        var hash = new HashCode();
        hash.AddBytes(key);
        return hash.ToHashCode();
    }
}
