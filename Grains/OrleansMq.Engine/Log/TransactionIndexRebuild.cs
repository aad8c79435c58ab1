using OrleansMq.Producers;

namespace OrleansMq.Log;

/// <summary>
/// Finds the aborted transactions of a segment again, by a walk over the log's batches from its start: a transaction may have begun in an
/// earlier segment.
/// </summary>
internal static class TransactionIndexRebuild
{
    /// <summary>Fills a segment's index with the transactions whose marker is below an offset.</summary>
    /// <param name="segments">The log's segments, oldest first.</param>
    /// <param name="segment">One of them.</param>
    /// <param name="below">The offset.</param>
    /// <exception cref="DamagedLogException">A marker is damaged.</exception>
    public static void Run(ReadOnlySpan<Segment> segments, Segment segment, long below)
    {
        var index = segment.BeginAborted();
        index.CutTo(segment.BaseOffset);
        var producers = new ProducerStateManager();
        var transactions = new LogTransactions();
        Span<byte> buffer = stackalloc byte[BatchWalker.BufferBytes];
        foreach (var from in segments)
        {
            if (from.BaseOffset > segment.BaseOffset)
                break;
            using var lease = from.Log.Rent();
            var walker = new BatchWalker(lease.File, 0, from.Size, buffer);
            while (walker.TryMoveNext() && walker.Header.BaseOffset < below)
            {
                var header = walker.Header;
                var marker = header is { IsControl: true, HasProducer: true }
                    ? TransactionMarker.Find(header, LogState.ReadControlBatch(from, lease.File, walker.Position, header)) : null;
                transactions.Apply(producers.Apply(header, appendTime: 0, marker));
                if (transactions.TryTakeAborted(header.BaseOffset, out var aborted) && ReferenceEquals(from, segment))
                    index.Add(aborted);
                transactions.Advance(long.MaxValue);
            }
        }
        index.WritePending();
        segment.FlushIndexes();
    }
}
