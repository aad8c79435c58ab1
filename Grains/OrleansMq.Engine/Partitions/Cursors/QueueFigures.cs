using OrleansMq.Api;
using OrleansMq.Queues;
using OrleansMq.Records;

namespace OrleansMq.Partitions.Cursors;

/// <summary>A queue as it was in a turn, and where its first records may be.</summary>
/// <param name="Description">The queue, without the time of its oldest record.</param>
/// <param name="First">The first offsets that are not settled; empty: there are none.</param>
internal sealed record QueueFigure(QueueDescription Description, List<DeliveredRecord> First);

/// <summary>
/// Describes the queues of a partition. Cursors know offsets, not records: the control batches among them are found by a search through the
/// log, which each description continues where the one before ended. Thread safe.
/// </summary>
internal sealed class QueueFigures(PartitionCursors cursors)
{
    // One description's part of the search. What is not searched yet counts as records.
    private const long MostSearchedBytes = 64 << 20;
    // Offsets among which the oldest record is looked for.
    private const int FirstOffsets = 100;

    // Changed in turns only: of one leadership, from the lowest floor on.
    private readonly OffsetSet _naturals = new();
    private CursorTerm? _term;
    private long _searchedFrom;
    private long _searchedEnd;

    /// <summary>Searches on.</summary>
    /// <exception cref="BrokerException"><see cref="ErrorCode.NotLeaderOrFollower"/>.</exception>
    public async Task ContinueAsync(CancellationToken cancellationToken)
    {
        var (term, range) = await cursors.AskAsync(Next).ConfigureAwait(false);
        if (range.Count == 0)
            return;
        List<OffsetRange> found;
        long end;
        try
        {
            found = NaturalOffsets.Find(cursors.Partition, range, MostSearchedBytes, cancellationToken, out end);
        }
        catch (Exception fault) when (fault is RecordBatchException || StorageFaults.IsStorageFault(fault))
        {
            // The next description searches again.
            return;
        }
        await cursors.AskAsync(current =>
        {
            // Another description may have searched further.
            if (current == term && _term == term && range.First <= _searchedEnd)
            {
                foreach (var natural in found)
                    _naturals.Add(natural);
                _searchedEnd = Math.Max(_searchedEnd, end);
            }
            return true;
        }).ConfigureAwait(false);
    }

    /// <summary>Describes a queue. In a turn.</summary>
    public QueueFigure Describe(HostedCursor cursor)
    {
        var (state, end) = (cursor.Cursor.State!, cursor.Term.ReadableEnd);
        var unsettled = Math.Max(0, end - state.Floor - state.Settled.Count);
        if (cursor.Term == _term)
            unsettled = Math.Max(0, unsettled - UnsettledNaturals(state, end));
        return new QueueFigure(QueueConfigurations.Describe(cursor) with { Unsettled = unsettled },
            QueueConfigurations.UnsettledFrom(state, cursors.Partition.LogStartOffset, end, FirstOffsets));
    }

    /// <summary>Adds the time of the oldest record. Outside a turn: it reads the log.</summary>
    public QueueDescription WithOldest(QueueFigure figure) =>
        figure.Description.Unsettled == 0 ? figure.Description : figure.Description with { OldestTimestamp = OldestOf(figure.First) };

    private (CursorTerm Term, OffsetRange Range) Next(CursorTerm term)
    {
        var floor = term.Cursors.Where(QueueConfigurations.IsQueue).Select(cursor => cursor.Cursor.State!.Floor)
            .DefaultIfEmpty(term.ReadableEnd).Min();
        // A reset may have gone back.
        if (_term != term || floor < _searchedFrom)
        {
            _naturals.RemoveBelow(long.MaxValue);
            (_term, _searchedEnd) = (term, floor);
        }
        _naturals.RemoveBelow(floor);
        (_searchedFrom, _searchedEnd) = (floor, Math.Max(_searchedEnd, floor));
        return (term, new OffsetRange(_searchedEnd, term.ReadableEnd - 1));
    }

    private long UnsettledNaturals(CursorState state, long end)
    {
        var count = 0L;
        for (var first = _naturals.NextIn(state.Floor); first < end;)
        {
            var next = Math.Min(_naturals.NextNotIn(first), end);
            for (var offset = first; offset < next;)
            {
                var unsettled = state.Settled.NextNotIn(offset);
                offset = Math.Min(state.Settled.NextIn(unsettled), next);
                count += Math.Max(0, offset - unsettled);
            }
            first = _naturals.NextIn(next);
        }
        return count;
    }

    private long? OldestOf(List<DeliveredRecord> unsettled)
    {
        try
        {
            for (var i = 0; i < unsettled.Count;)
            {
                using var read = cursors.Partition.Log!.Read(unsettled[i].Offset, cursors.Partition.HighWatermark, 1);
                if (read is null)
                    return null;
                var header = RecordBatchHeader.Read(read.Memory.Span);
                if (!header.IsControl && header.RecordCount > 0)
                    return header.IsLogAppendTime ? header.MaxTimestamp : header.BaseTimestamp;
                while (i < unsettled.Count && unsettled[i].Offset <= header.LastOffset)
                    i++;
            }
        }
        catch (Exception fault) when (fault is RecordBatchException || StorageFaults.IsStorageFault(fault))
        {
            // A description is no reason to fail: a read of the records tells.
        }
        return null;
    }
}
