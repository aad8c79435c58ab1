using OrleansMq.Dedupe;
using OrleansMq.Diagnostics;
using OrleansMq.Producers;
using OrleansMq.Queues;
using OrleansMq.Records;
using OrleansMq.Storage;

namespace OrleansMq.Log;

/// <summary>
/// What a log's batches amount to at its end: the idempotent producers, the transactions, the cursors, and the message ids. It is derived
/// from the batches below the log's end alone, so it can always be rebuilt from them. Anything else that a batch means to later ones
/// belongs here, too.
/// </summary>
/// <remarks>
/// Every call is made under the append lock, except those on snapshot files. Leader, follower, recovery and rebuild pass each batch to
/// <see cref="Apply"/>, in the order of offsets, before the segment publishes it.
/// <para>Producers and message ids see staged batches. Cursors and transactions do not: their changes are applied when the write is done.
/// </para>
/// <code>
/// Settled -- Stage    --> Staged     a batch that is about to be written; later checks see it
/// Staged  -- Stage    --> Staged     more batches of the same write
/// Staged  -- Commit   --> Settled    the write is done
/// Staged  -- Rollback --> Settled    the write failed or was abandoned: the state is as before the first Stage
/// Settled -- Apply    --> Settled    a follower, recovery and rebuild: the log holds the batch already
/// Settled -- Rebuild  --> Settled    the log was opened or cut: the newest snapshot below the end, then the batches after it
/// </code>
/// A crash loses the state in memory; opening the log rebuilds it. A lost or damaged snapshot costs time, never a batch: rebuild uses an
/// older one, or none. A failed write leaves no trace, so the sequence of a refused batch is free for its retry.
/// </remarks>
internal sealed class LogState(ProducerSnapshots producerSnapshots, ControlSnapshots<LogCursors> cursorSnapshots,
    ControlSnapshots<LogDedupe> dedupeSnapshots)
{
    private readonly SnapshotFiles[] _snapshots = [producerSnapshots.Files, cursorSnapshots.Files, dedupeSnapshots.Files];
    // Guards the snapshots' files. A durable save takes long, so it holds the lock only to note its offset.
    private readonly Lock _filesLock = new();
    private long _saving = -1;
    private readonly List<(long Offset, IReadOnlyList<CursorTransition> Transitions)> _staged = [];
    private readonly List<TransactionChange> _stagedTransactions = [];
    private readonly List<EndedTransaction> _ended = [];
    private bool _isStaged;
    // What transitions before it replaced is not known.
    private long _rebuiltAt;

    /// <summary>The idempotent producers. Only this class changes them.</summary>
    public ProducerStateManager Producers { get; } = new();

    /// <summary>The transactions. The high watermark alone is told from outside.</summary>
    public LogTransactions Transactions { get; } = new();

    /// <summary>The cursors. Only this class changes them.</summary>
    public LogCursors Cursors { get; private set; } = new();

    /// <summary>The message ids. Only this class changes them.</summary>
    public LogDedupe Dedupe { get; private set; } = new();

    /// <summary>The state that snapshots must hold: producers if any is known, cursors and message ids if there ever was one.</summary>
    public StateKinds Known => (Producers.Count > 0 ? StateKinds.Producers : 0) | (Cursors.IsUsed ? StateKinds.Cursors : 0)
        | (Dedupe.IsUsed ? StateKinds.Dedupe : 0);

    /// <summary>Returns the highest offset at which the log may start, so that it still tells all about its cursors and message ids; 0
    /// while that is not known.</summary>
    public long StartBound(long highWatermark) => Math.Min(
        !Cursors.IsUsed ? long.MaxValue : highWatermark < _rebuiltAt ? 0 : Cursors.StartBound(highWatermark),
        DedupeBound(highWatermark));

    /// <summary>Returns the offset from which on the log tells about its message ids; 0 while that is not known. Below it nothing does, so
    /// batches may be changed there.</summary>
    public long DedupeBound(long highWatermark) => !Dedupe.IsUsed ? long.MaxValue
        : highWatermark < _rebuiltAt ? 0 : Dedupe.StartBound(highWatermark);

    /// <summary>Decides whether a batch may be appended. Staged batches count as appended.</summary>
    /// <param name="batch">The batch's header.</param>
    /// <param name="verified">What the coordinator said of its transaction.</param>
    public ProducerDecision Check(in RecordBatchHeader batch, in VerifiedTransaction verified = default) =>
        Producers.Check(batch, verified);

    /// <summary>Applies a batch that the next write appends.</summary>
    /// <param name="header">Its header, with its offset.</param>
    /// <param name="batch">Its bytes.</param>
    /// <param name="now">Milliseconds since 1970.</param>
    public void Stage(in RecordBatchHeader header, ReadOnlySpan<byte> batch, long now)
    {
        if (!_isStaged)
            Producers.BeginGroup();
        _isStaged = true;
        var change = Producers.Apply(header, now, TransactionMarker.Find(header, batch));
        if (change.Step != TransactionStep.None)
            _stagedTransactions.Add(change);
        if (CursorControlRecord.TryFind(header, batch, out var transitions))
            _staged.Add((header.BaseOffset, CursorControlRecord.Decode(transitions)));
        Dedupe.Stage(header, batch);
    }

    /// <summary>Keeps the staged batches: they are in the log.</summary>
    public void Commit()
    {
        if (!_isStaged)
            return;
        _isStaged = false;
        Producers.CommitGroup();
        foreach (var change in _stagedTransactions)
            Transactions.Apply(change);
        _stagedTransactions.Clear();
        foreach (var (offset, transitions) in _staged)
            Cursors.Apply(offset, transitions);
        _staged.Clear();
        Dedupe.Commit();
    }

    /// <summary>Forgets the staged batches: they are not in the log.</summary>
    public void Rollback()
    {
        if (!_isStaged)
            return;
        _isStaged = false;
        Producers.RollbackGroup();
        _stagedTransactions.Clear();
        _staged.Clear();
        Dedupe.Rollback();
    }

    /// <summary>Applies a batch. What a batch changes is decided here and in <see cref="Stage"/> alike.</summary>
    /// <param name="header">Its header.</param>
    /// <param name="batch">Its bytes.</param>
    /// <param name="now">Milliseconds since 1970; in a rebuild the time of the rebuild.</param>
    /// <exception cref="UnknownTransitionException">A later version wrote it: this replica cannot follow.</exception>
    public void Apply(in RecordBatchHeader header, ReadOnlySpan<byte> batch, long now)
    {
        Transactions.Apply(Producers.Apply(header, now, TransactionMarker.Find(header, batch)));
        ApplyToCursors(header, batch);
        Dedupe.Apply(header, batch);
    }

    /// <summary>Gives the aborted transaction that a marker ended to the index of the segment that gets the marker: before the segment
    /// publishes it.</summary>
    public void NoteMarker(in RecordBatchHeader header, Segment segment)
    {
        if (header.IsControl && Transactions.TryTakeAborted(header.BaseOffset, out var aborted))
            segment.BeginAborted().Add(aborted);
    }

    /// <summary>Returns the last entries of each known producer.</summary>
    public Dictionary<long, LastEntries> LastEntriesOfProducers()
    {
        var entries = new Dictionary<long, LastEntries>(Producers.Count);
        foreach (var (id, state) in Producers.Producers)
        {
            entries.Add(id, new LastEntries(state.Count > 0 ? state[0].LastOffset : -1, state.Epoch, state.CoordinatorEpoch,
                state.LastTransactionNumber));
        }
        return entries;
    }

    /// <summary>Forgets producers that have been idle for too long.</summary>
    public void RemoveExpired(long now, TimeSpan producerIdExpiration, long logStart) =>
        Producers.RemoveExpired(now, producerIdExpiration, logStart);

    /// <summary>Forgets all batches: the log's next one is at or above an offset.</summary>
    public void Reset(long endOffset)
    {
        BeginRebuild(endOffset);
        Transactions.EndRebuild();
    }

    // Until the transactions are found again, nothing is stable: a compaction would take an open transaction's records for decided.
    private void BeginRebuild(long endOffset)
    {
        Invariant.Check(!_isStaged, "The log's state was replaced while batches were being written.");
        Transactions.BeginRebuild();
        Producers.Reset(endOffset);
        (Cursors, Dedupe, _rebuiltAt) = (new LogCursors(), new LogDedupe(), endOffset);
    }

    /// <summary>Rebuilds the state of the batches before a position: from the newest snapshots there, and the batches after them.</summary>
    /// <param name="segments">The log's segments.</param>
    /// <param name="end">Where the log ends, or where recovery continues.</param>
    /// <param name="known">The state that may exist there; of the rest no file is read.</param>
    /// <param name="now">Milliseconds since 1970.</param>
    /// <exception cref="UnknownTransitionException">A later version wrote to the log.</exception>
    /// <exception cref="DamagedLogException">A control batch is damaged.</exception>
    public void Rebuild(ReadOnlySpan<Segment> segments, LogPosition end, StateKinds known, long now)
    {
        BeginRebuild(end.Offset);
        var (producersFrom, cursorsFrom, dedupeFrom) = (end.Offset, end.Offset, end.Offset);
        if ((known & StateKinds.Producers) != 0)
            producersFrom = LoadProducers(segments[0].BaseOffset, end.Offset, now);
        if ((known & StateKinds.Cursors) != 0)
            (Cursors, cursorsFrom) = cursorSnapshots.Load(segments[0].BaseOffset, end.Offset);
        if ((known & StateKinds.Dedupe) != 0)
            (Dedupe, dedupeFrom) = dedupeSnapshots.Load(segments[0].BaseOffset, end.Offset);
        if (Math.Min(Math.Min(producersFrom, cursorsFrom), dedupeFrom) < end.Offset)
            ApplyFrom(producersFrom, cursorsFrom, dedupeFrom, segments, end, now);
        Transactions.EndRebuild();
    }

    private long LoadProducers(long first, long end, long now)
    {
        var from = producerSnapshots.Load(Producers, first, end, now, _ended);
        Transactions.Restore(Producers.Producers.Where(static producer => producer.Value.CurrentTransactionFirstOffset >= 0)
            .Select(static producer =>
                new OpenTransaction(producer.Value.CurrentTransactionFirstOffset, producer.Key, producer.Value.Epoch,
                    producer.Value.LastAppendTime)), _ended);
        _ended.Clear();
        if (Producers.Producers.Any(static producer => producer.Value.UsesTransactions))
            Transactions.NoteUsed();
        return from;
    }

    /// <summary>Writes the snapshots of a roll, without a flush. If they are lost, the next start takes longer: it uses older
    /// ones. Message ids have none: there may be so many that each roll would write more than its segment, and the log tells of all of them
    /// that the last recovery point's does not.</summary>
    public void SaveAtRoll()
    {
        var snapshot = PrepareSnapshot(withDedupe: false);
        lock (_filesLock)
        {
            // Those of the same offset that are being made durable are the same files.
            if (snapshot.Offset != _saving)
                Save(snapshot, durable: false);
        }
    }

    /// <summary>Takes the snapshots for a recovery point, under the append lock. There may be many message ids: the caller encodes them
    /// when it has released that lock, before it saves the snapshots.</summary>
    public StateSnapshot PrepareSnapshot() => PrepareSnapshot(withDedupe: true);

    private StateSnapshot PrepareSnapshot(bool withDedupe) => new(Producers.EndOffset,
        Producers.Count > 0 ? ProducerSnapshots.Prepare(Producers, Transactions.Ended()) : null,
        Cursors.IsUsed ? Cursors.EncodeSnapshot() : null, withDedupe && Dedupe.IsUsed ? Dedupe.Capture(Producers.EndOffset) : null,
        Transactions.IsUsed);

    /// <summary>Writes prepared snapshots; durable when it returns. Under the flush lock. A roll at their offset may come
    /// meanwhile.</summary>
    public void Save(StateSnapshot snapshot)
    {
        NoteSaving(snapshot.Offset);
        try
        {
            Save(snapshot, durable: true);
        }
        finally
        {
            NoteSaving(-1);
        }
    }

    private void NoteSaving(long offset)
    {
        lock (_filesLock)
            _saving = offset;
    }

    private void Save(StateSnapshot snapshot, bool durable)
    {
        if (snapshot.Producers is { } producers)
            producerSnapshots.Write(producers, durable);
        if (snapshot.Cursors is { } cursors)
            cursorSnapshots.Files.Write(snapshot.Offset, cursors, companion: null, durable);
        if (snapshot.Dedupe is { } dedupe)
            dedupeSnapshots.Files.Write(snapshot.Offset, dedupe.Bytes, companion: null, durable);
    }

    /// <summary>Deletes snapshots that are neither at one of these offsets nor the newest; of those of message ids all but the newest two.
    /// Without the append lock.</summary>
    public void DeleteSnapshotsExcept(IReadOnlySet<long> offsets)
    {
        // A roll writes a snapshot's companion first, which without it would look like a leftover.
        lock (_filesLock)
        {
            producerSnapshots.Files.DeleteExcept(offsets);
            cursorSnapshots.Files.DeleteExcept(offsets);
            dedupeSnapshots.Files.DeleteButNewest(2);
        }
    }

    /// <summary>Deletes snapshots below an offset, except the newest of all. Without the append lock.</summary>
    public void DeleteSnapshotsBefore(long offset) => Array.ForEach(_snapshots, kind => kind.DeleteBefore(offset));

    /// <summary>Deletes the producers' snapshots below an offset, below which markers are about to go: what such a snapshot shows as open
    /// would never end. Without the append lock.</summary>
    public void DeleteProducersBeforeErased(long end)
    {
        lock (_filesLock)
            producerSnapshots.Files.DeleteAllBefore(end);
    }

    /// <summary>Deletes snapshots above an offset: they describe batches that are cut, and other batches take over their offsets.</summary>
    public void DeleteSnapshotsAfter(long offset) => Array.ForEach(_snapshots, kind => kind.DeleteAfter(offset));

    private void ApplyToCursors(in RecordBatchHeader header, ReadOnlySpan<byte> batch)
    {
        if (CursorControlRecord.TryFind(header, batch, out var transitions))
            Cursors.Apply(header.BaseOffset, transitions);
    }

    private void ApplyFrom(long producersFrom, long cursorsFrom, long dedupeFrom, ReadOnlySpan<Segment> segments, LogPosition end,
        long now)
    {
        Span<byte> buffer = stackalloc byte[BatchWalker.BufferBytes];
        var from = Math.Min(Math.Min(producersFrom, cursorsFrom), dedupeFrom);
        foreach (var segment in segments)
        {
            if (segment.BaseOffset > end.SegmentBase || (segment.NextOffset <= from && segment.BaseOffset != end.SegmentBase))
                continue;
            using var lease = segment.Log.Rent();
            var walker = new BatchWalker(lease.File, 0, segment.BaseOffset == end.SegmentBase ? end.Position : segment.Size, buffer);
            while (walker.TryMoveNext())
            {
                var header = walker.Header;
                byte[]? control = null;
                if (header.IsControl && header.BaseOffset >= (header.HasProducer ? producersFrom : Math.Min(cursorsFrom, dedupeFrom)))
                    control = ReadControlBatch(segment, lease.File, walker.Position, header);
                if (header.BaseOffset >= producersFrom)
                    Transactions.Apply(Producers.Apply(header, now, TransactionMarker.Find(header, control)));
                if (header.BaseOffset >= cursorsFrom)
                    ApplyToCursors(header, control);
                if (header.BaseOffset >= dedupeFrom)
                    Dedupe.Apply(header, control);
            }
        }
    }

    // The walk reads headers only.
    internal static byte[] ReadControlBatch(Segment segment, IFile file, long position, in RecordBatchHeader header)
    {
        var batch = new byte[header.SizeInBytes];
        var read = file.Read(batch, position);
        if (RecordBatches.Validate(batch.AsSpan(0, read), out _) is { } fault)
            throw new DamagedLogException(segment.Log.Path, position, header.BaseOffset, fault.Message);
        return batch;
    }
}
