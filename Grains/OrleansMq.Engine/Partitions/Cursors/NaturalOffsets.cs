using OrleansMq.Log;
using OrleansMq.Queues;
using OrleansMq.Records;

namespace OrleansMq.Partitions.Cursors;

/// <summary>Finds the offsets that have no record: control batches, aborted transactions, what compaction or retention removed, and batches
/// that no broker can read. And the sizes of the other ones.</summary>
internal static class NaturalOffsets
{
    private const int MostBytes = 256 << 10;

    /// <summary>Returns the offsets of a range without a record, joined where they are neighbours. A batch that cannot be read here, or
    /// that need not be read, has all its records.</summary>
    /// <param name="partition">The partition.</param>
    /// <param name="range">The range; it ends below the high watermark.</param>
    /// <param name="cancellationToken">Ends the search.</param>
    /// <exception cref="IOException">The disk failed.</exception>
    /// <exception cref="RecordBatchException"><see cref="RecordBatchError.Busy"/>: another batch is decompressed at the moment.</exception>
    /// <exception cref="OperationCanceledException">It was ended.</exception>
    public static List<OffsetRange> Find(Partition partition, OffsetRange range, CancellationToken cancellationToken) =>
        Find(partition, range, long.MaxValue, cancellationToken, out _);

    /// <inheritdoc cref="Find(Partition, OffsetRange, CancellationToken)"/>
    /// <param name="partition">The partition.</param>
    /// <param name="range">The range; it ends below the high watermark.</param>
    /// <param name="mostBytes">The bytes of batches at which the search ends.</param>
    /// <param name="cancellationToken">Ends the search.</param>
    /// <param name="searchedEnd">Where it ended.</param>
    /// <param name="sizes">Receives the sizes of the records; null: they are not read.</param>
    public static List<OffsetRange> Find(Partition partition, OffsetRange range, long mostBytes, CancellationToken cancellationToken,
        out long searchedEnd, List<RecordSize>? sizes = null)
    {
        var found = new List<OffsetRange>();
        var (next, end) = (range.First, range.Last + 1);
        for (var bytes = 0L; next < end && bytes < mostBytes;)
        {
            cancellationToken.ThrowIfCancellationRequested();
            var from = Math.Max(next, partition.LogStartOffset);
            var aborted = AbortedRecords.None;
            using var buffer = from < end ? partition.Log!.Read(from, end, MostBytes, out aborted) : null;
            if (buffer is null)
            {
                Add(found, next, end);
                next = end;
                break;
            }
            bytes += buffer.Memory.Length;
            for (ReadOnlyMemory<byte> batches = buffer.Memory; !batches.IsEmpty && next < end;)
            {
                var header = RecordBatchHeader.Read(batches.Span);
                if (aborted.Has(header))
                    header = header with { RecordCount = 0 };
                Take(partition, batches[..header.SizeInBytes], header, ref next, end, found, sizes);
                batches = batches[header.SizeInBytes..];
            }
        }
        searchedEnd = next;
        return found;
    }

    private static void Take(Partition partition, ReadOnlyMemory<byte> batch, in RecordBatchHeader header, ref long next, long end,
        List<OffsetRange> found, List<RecordSize>? sizes)
    {
        Add(found, next, Math.Min(header.BaseOffset, end));
        next = Math.Max(next, header.BaseOffset);
        if (header.IsControl || header.RecordCount == 0)
            Add(found, next, Math.Min(header.NextOffset, end));
        else if (header.RecordCount <= header.LastOffsetDelta || sizes is not null)
            TakeRecords(partition, batch, header, next, end, found, sizes);
        next = Math.Max(next, header.NextOffset);
    }

    private static void TakeRecords(Partition partition, ReadOnlyMemory<byte> batch, in RecordBatchHeader header, long next, long end,
        List<OffsetRange> found, List<RecordSize>? sizes)
    {
        using var reader = new RecordReader(batch, partition.Ports.Log.Codecs, verifyCrc: false, takesTurns: true);
        try
        {
            while (reader.MoveNext() && next < end)
            {
                var record = reader.Current;
                Add(found, next, Math.Min(record.Offset, end));
                if (record.Offset >= next && record.Offset < end)
                    sizes?.Add(new RecordSize(record.Offset, record.Value?.Length ?? 0));
                next = Math.Max(next, record.Offset + 1);
            }
            Add(found, next, Math.Min(header.NextOffset, end));
        }
        catch (Exception fault) when (fault is RecordBatchException { Error: not RecordBatchError.Busy } or CodecUnavailableException)
        {
            // The delivery of other ones fails, and tells.
            if (UnreadableBatches.TryPassOver(partition, batch.Span, new OffsetRange(next, header.LastOffset), fault))
                Add(found, next, Math.Min(header.NextOffset, end));
        }
    }

    private static void Add(List<OffsetRange> found, long first, long end)
    {
        if (first >= end)
            return;
        if (found.Count > 0 && found[^1].Last == first - 1)
            found[^1] = found[^1] with { Last = end - 1 };
        else
            found.Add(new OffsetRange(first, end - 1));
    }
}
