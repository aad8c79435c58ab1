using OrleansMq.Producers;

namespace OrleansMq.Log;

/// <summary>
/// Finds the aborted transactions of segments again, by a walk over the log's batches from its start: a transaction may have begun in an
/// earlier segment.
/// </summary>
internal static class TransactionIndexRebuild
{
    /// <summary>Fills the indexes of segments with the transactions whose marker is below an offset.</summary>
    /// <param name="segments">The log's segments, oldest first.</param>
    /// <param name="lost">Some of them.</param>
    /// <param name="below">The offset.</param>
    /// <exception cref="DamagedLogException">A marker is damaged.</exception>
    public static void Run(ReadOnlySpan<Segment> segments, HashSet<Segment> lost, long below)
    {
        var producers = new ProducerStateManager();
        var transactions = new LogTransactions();
        foreach (var segment in segments)
        {
            if (segment.BaseOffset >= below)
                break;
            var index = lost.Contains(segment) ? segment.BeginAborted() : null;
            index?.CutTo(segment.BaseOffset);
            Walk(segment, index, producers, transactions, below);
            if (index is null)
                continue;
            index.EnsureFile();
            index.WritePending();
            segment.FlushIndexes();
        }
    }

    private static void Walk(Segment segment, TransactionIndex? index, ProducerStateManager producers, LogTransactions transactions,
        long below)
    {
        Span<byte> buffer = stackalloc byte[BatchWalker.BufferBytes];
        using var lease = segment.Log.Rent();
        var walker = new BatchWalker(lease.File, 0, segment.Size, buffer);
        while (walker.TryMoveNext() && walker.Header.BaseOffset < below)
        {
            var header = walker.Header;
            var marker = header is { IsControl: true, HasProducer: true }
                ? TransactionMarker.Find(header, LogState.ReadControlBatch(segment, lease.File, walker.Position, header)) : null;
            transactions.Apply(producers.Apply(header, appendTime: 0, marker));
            if (transactions.TryTakeAborted(header.BaseOffset, out var aborted))
                index?.Add(aborted);
            transactions.Advance(long.MaxValue);
        }
    }
}
