using OrleansMq.Queues;
using OrleansMq.Records;

namespace OrleansMq.Partitions.Cursors;

/// <summary>What a <see cref="RecordScan"/> takes of a record.</summary>
internal delegate T RecordReading<out T>(in RecordBatchHeader batch, in Record record);

/// <summary>Records at which a <see cref="RecordScan"/> ended, since their batch cannot be read here, or not now.</summary>
/// <param name="Offsets">Their offsets, as far as the batch says.</param>
/// <param name="Fault">Why not.</param>
internal sealed record UnreadRecords(OffsetRange Offsets, Exception Fault);

/// <summary>Reads something of each record from an offset on, for cursors that look ahead.</summary>
internal static class RecordScan
{
    private const int MostBytes = 256 << 10;
    // Small records are many in a read, and what is read beyond the wanted ones is read again.
    private const int FewestBytes = 4 << 10;
    private const int BytesPerRecord = 128;
    private const int Growth = 4;
    // Of one call: what is found so far is of use, and the leadership may end meanwhile.
    private const long MostBytesPerScan = 4 << 20;

    /// <summary>Reads records below the high watermark.</summary>
    /// <param name="partition">The partition.</param>
    /// <param name="from">The first offset.</param>
    /// <param name="most">The most records.</param>
    /// <param name="read">Takes what is wanted of a record.</param>
    /// <param name="readNothing">Stands for a record, given by its offset, whose batch cannot be read here, or not now. Its delivery fails.
    /// A batch that no broker can read has no records. Null: the scan ends there.</param>
    /// <param name="end">The records below it are read.</param>
    /// <param name="unread">The records at which the scan ended; null: it ended elsewhere.</param>
    /// <exception cref="IOException">The disk failed.</exception>
    /// <exception cref="RecordBatchException"><see cref="RecordBatchError.Busy"/>: another batch is decompressed at the moment.</exception>
    public static List<T> Read<T>(Partition partition, long from, int most, RecordReading<T> read, Func<long, T>? readNothing, out long end,
        out UnreadRecords? unread)
    {
        unread = null;
        var records = new List<T>();
        var limit = partition.HighWatermark;
        var scanned = 0L;
        var size = (int)Math.Clamp((long)BytesPerRecord * most, FewestBytes, MostBytes);
        for (end = Math.Max(from, partition.LogStartOffset); end < limit && (scanned < MostBytesPerScan || end <= from);)
        {
            using var buffer = partition.Log!.Read(end, limit, size, out var aborted);
            size = Math.Min(size * Growth, MostBytes);
            if (buffer is null)
            {
                end = limit;
                break;
            }
            scanned += buffer.Memory.Length;
            for (ReadOnlyMemory<byte> batches = buffer.Memory; !batches.IsEmpty;)
            {
                var header = RecordBatchHeader.Read(batches.Span);
                if (!header.IsControl && header.RecordCount > 0 && !aborted.Has(header)
                    && !TryAdd(batches[..header.SizeInBytes], header, partition, ref end, most, read, readNothing, records, ref unread))
                    return records;
                end = header.NextOffset;
                batches = batches[header.SizeInBytes..];
            }
        }
        return records;
    }

    // Returns false if there are enough, or the scan ends before those that cannot be read; the next one is then at the end.
    private static bool TryAdd<T>(ReadOnlyMemory<byte> batch, in RecordBatchHeader header, Partition partition, ref long end, int most,
        RecordReading<T> read, Func<long, T>? readNothing, List<T> records, ref UnreadRecords? unread)
    {
        using var reader = new RecordReader(batch, partition.Ports.Log.Codecs, verifyCrc: false, takesTurns: true);
        end = Math.Max(end, header.BaseOffset);
        try
        {
            while (reader.MoveNext())
            {
                if (reader.Current.Offset < end)
                    continue;
                if (records.Count >= most)
                    return false;
                records.Add(read(header, reader.Current));
                end = reader.Current.Offset + 1;
            }
        }
        catch (Exception fault) when (fault is RecordBatchException { Error: not RecordBatchError.Busy } or CodecUnavailableException)
        {
            if (UnreadableBatches.TryPassOver(partition, batch.Span, new OffsetRange(end, header.LastOffset), fault))
                return true;
            if (readNothing is null && end <= header.LastOffset)
            {
                unread = new UnreadRecords(new OffsetRange(end, header.LastOffset), fault);
                return false;
            }
            // As many as it says, which may be more than any batch has.
            for (; end <= header.LastOffset; end++)
            {
                if (records.Count >= most)
                    return false;
                records.Add(readNothing!(end));
            }
        }
        return true;
    }
}
