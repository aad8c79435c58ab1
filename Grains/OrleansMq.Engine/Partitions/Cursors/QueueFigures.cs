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
    // Ranges of what was found that one turn takes.
    private const int MostTakenPerTurn = 2_000;
    // Offsets among which the oldest record is looked for.
    private const int FirstOffsets = 100;

    // Changed in turns only: of one leadership, from the lowest floor on.
    private readonly OffsetSet _naturals = new();
    private readonly SemaphoreSlim _searching = new(1);
    private CursorTerm? _term;
    private long _searchedFrom;
    private long _searchedEnd;

    /// <summary>The offsets that were searched.</summary>
    public long SearchedOffsets { get; private set; }

    /// <summary>Searches on. One search at a time: descriptions that come together do not search the same.</summary>
    /// <exception cref="BrokerException"><see cref="ErrorCode.NotLeaderOrFollower"/>.</exception>
    public async Task ContinueAsync(CancellationToken cancellationToken)
    {
        await _searching.WaitAsync(cancellationToken).ConfigureAwait(false);
        try
        {
            await SearchAsync(cancellationToken).ConfigureAwait(false);
        }
        finally
        {
            _searching.Release();
        }
    }

    /// <summary>Describes a queue. In a turn.</summary>
    public QueueFigure Describe(HostedCursor cursor)
    {
        var (state, end) = (cursor.Cursor.State!, cursor.ReadableEnd);
        var unsettled = Math.Max(0, end - state.Floor - state.Settled.Count);
        if (state.Configuration.Filter is not null || cursor.Cursor.IsCounted)
            unsettled = Math.Max(0, unsettled - cursor.Cursor.KnownNaturals);
        else if (cursor.Term == _term)
            unsettled = Math.Max(0, unsettled - UnsettledNaturals(cursor, state, end));
        return new QueueFigure(QueueConfigurations.Describe(cursor) with { Unsettled = unsettled },
            QueueConfigurations.UnsettledFrom(state, cursors.Partition.LogStartOffset, end, FirstOffsets));
    }

    /// <summary>Adds the time of the oldest record. Outside a turn: it reads the log.</summary>
    public QueueDescription WithOldest(QueueFigure figure) =>
        figure.Description.Unsettled == 0 ? figure.Description : figure.Description with { OldestTimestamp = OldestOf(figure.First) };

    private async Task SearchAsync(CancellationToken cancellationToken)
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
        SearchedOffsets += end - range.First;
        // Between them deliveries have their turns.
        foreach (var some in found.Chunk(MostTakenPerTurn))
            await TakeAsync(some, range.First).ConfigureAwait(false);
        await TakeAsync([], end).ConfigureAwait(false);

        Task<bool> TakeAsync(OffsetRange[] naturals, long searchedEnd) => cursors.AskAsync(current =>
        {
            if (current != term || _term != term)
                return false;
            foreach (var natural in naturals)
                _naturals.Add(natural);
            _searchedEnd = Math.Max(_searchedEnd, searchedEnd);
            return true;
        });
    }

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

    private long UnsettledNaturals(HostedCursor cursor, CursorState state, long end) => end <= state.Floor ? 0
        : cursor.UnsettledNaturals.Of(cursor.Term.Now, state.Settled.Cost + ((end - state.Floor) / OffsetChunk.Size),
            () => _naturals.CountOutside(state.Settled, new OffsetRange(state.Floor, end - 1)));

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
