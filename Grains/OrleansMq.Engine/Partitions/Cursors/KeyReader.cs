using OrleansMq.Records;

namespace OrleansMq.Partitions.Cursors;

/// <summary>Reads the keys of records, for cursors that keep the order by key.</summary>
internal static class KeyReader
{
    private const int MostBytes = 256 << 10;

    /// <summary>Reads keys below the high watermark.</summary>
    /// <param name="partition">The partition.</param>
    /// <param name="from">The first offset.</param>
    /// <param name="most">The most records.</param>
    /// <param name="end">The keys below it are known.</param>
    /// <returns>The records, each with a hash of its key; it is the same for as long as the process lives.</returns>
    /// <exception cref="IOException">The disk failed.</exception>
    public static List<(long Offset, long? Key)> Read(Partition partition, long from, int most, out long end)
    {
        var keys = new List<(long, long?)>();
        var limit = partition.HighWatermark;
        for (end = Math.Max(from, partition.LogStartOffset); end < limit;)
        {
            using var read = partition.Log!.Read(end, limit, MostBytes);
            if (read is null)
            {
                end = limit;
                break;
            }
            for (ReadOnlyMemory<byte> batches = read.Memory; !batches.IsEmpty;)
            {
                var header = RecordBatchHeader.Read(batches.Span);
                if (!header.IsControl && header.RecordCount > 0
                    && !TryAdd(batches[..header.SizeInBytes], header, partition, end, most, keys))
                {
                    end = keys[^1].Item1 + 1;
                    return keys;
                }
                end = header.NextOffset;
                batches = batches[header.SizeInBytes..];
            }
        }
        return keys;
    }

    private static bool TryAdd(ReadOnlyMemory<byte> batch, in RecordBatchHeader header, Partition partition, long from, int most,
        List<(long Offset, long? Key)> keys)
    {
        using var reader = new RecordReader(batch, partition.Ports.Log.Codecs, verifyCrc: false);
        var next = Math.Max(from, header.BaseOffset);
        try
        {
            while (reader.MoveNext())
            {
                if (reader.Current.Offset < next)
                    continue;
                if (keys.Count >= most)
                    return false;
                keys.Add((reader.Current.Offset, reader.Current.Key is { } key ? Hash(key.Span) : null));
                next = reader.Current.Offset + 1;
            }
        }
        catch (Exception fault) when (fault is RecordBatchException or CodecUnavailableException)
        {
            // They count as records without key. Their delivery fails, and ends at the delivery limit.
            for (; next <= header.LastOffset; next++)
                keys.Add((next, null));
        }
        return true;
    }

    private static long Hash(ReadOnlySpan<byte> key)
    {
        var hash = new HashCode();
        hash.AddBytes(key);
        return hash.ToHashCode();
    }
}
