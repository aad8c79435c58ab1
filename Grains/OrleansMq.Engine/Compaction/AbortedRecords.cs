using OrleansMq.Log;
using OrleansMq.Records;

namespace OrleansMq.Compaction;

/// <summary>The records of a log's aborted transactions below an offset: no reader needs them, and they supersede none.</summary>
internal sealed class AbortedRecords
{
    // Each producer's, in the order of the log: they do not overlap.
    private readonly Dictionary<long, List<AbortedTransaction>> _byProducer = [];

    private AbortedRecords()
    {
    }

    /// <summary>Finds them.</summary>
    /// <param name="log">The log.</param>
    /// <param name="end">The offset, at most the last stable one.</param>
    public static AbortedRecords Of(SegmentedLog log, long end)
    {
        var records = new AbortedRecords();
        IReadOnlyList<AbortedTransaction>? found;
        do
        {
            found = log.FindAborted(log.Segments, 0, end);
        }
        while (found is null); // Retention has removed a segment: the rest is read again.
        foreach (var aborted in found)
        {
            if (!records._byProducer.TryGetValue(aborted.ProducerId, out var list))
                records._byProducer.Add(aborted.ProducerId, list = []);
            list.Add(aborted);
        }
        return records;
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
}
