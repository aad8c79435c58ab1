using OrleansMq.Records;

namespace OrleansMq.Log;

/// <summary>The records of aborted transactions in a range of a log: readers leave them out, and they supersede none.</summary>
internal sealed class AbortedRecords
{
    /// <summary>No record.</summary>
    public static readonly AbortedRecords None = new();

    // Each producer's, in the order of the log: they do not overlap.
    private readonly Dictionary<long, List<AbortedTransaction>> _byProducer = [];

    private AbortedRecords()
    {
    }

    /// <summary>Returns the records of transactions.</summary>
    /// <param name="transactions">The transactions, in the order of their markers.</param>
    public static AbortedRecords Of(IReadOnlyList<AbortedTransaction> transactions)
    {
        if (transactions.Count == 0)
            return None;
        var records = new AbortedRecords();
        foreach (var aborted in transactions)
        {
            if (!records._byProducer.TryGetValue(aborted.ProducerId, out var list))
                records._byProducer.Add(aborted.ProducerId, list = []);
            list.Add(aborted);
        }
        return records;
    }

    /// <summary>Finds those of a log below an offset.</summary>
    /// <param name="log">The log.</param>
    /// <param name="end">The offset, at most the last stable one.</param>
    public static AbortedRecords Of(SegmentedLog log, long end)
    {
        while (true)
        {
            if (log.FindAborted(log.Segments, 0, end) is { } found)
                return Of(found);
            // Retention has removed a segment: the rest is read again.
        }
    }

    /// <summary>Whether a batch belongs to an aborted transaction. Its marker does not.</summary>
    public bool Has(in RecordBatchHeader header)
    {
        if (!header.IsTransactional || header.IsControl || !_byProducer.TryGetValue(header.ProducerId, out var list))
            return false;
        var (low, high) = (0, list.Count);
        while (low < high)
        {
            var middle = low + (high - low) / 2;
            if (list[middle].Last < header.BaseOffset)
                low = middle + 1;
            else
                high = middle;
        }
        return low < list.Count && list[low].First <= header.BaseOffset;
    }

    /// <summary>Replaces batches of aborted transactions by their bare headers, in place.</summary>
    /// <param name="batches">Whole batches, back to back.</param>
    /// <returns>The bytes that are left.</returns>
    public int LeaveOut(Span<byte> batches)
    {
        using var bare = new PooledBuffer();
        var (read, written) = (0, 0);
        while (read < batches.Length)
        {
            var header = RecordBatchHeader.Read(batches[read..]);
            var batch = batches.Slice(read, header.SizeInBytes);
            read += header.SizeInBytes;
            if (Has(header))
            {
                bare.Clear();
                RecordBatchRewriter.RetainNone(batch, bare);
                batch = bare.WrittenSpan;
            }
            batch.CopyTo(batches[written..]);
            written += batch.Length;
        }
        return written;
    }
}
