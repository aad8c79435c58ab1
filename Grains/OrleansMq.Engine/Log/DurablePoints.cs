using OrleansMq.Storage;

namespace OrleansMq.Log;

/// <summary>
/// How much of a log is durable, and where it starts: in memory, and in the file <c>partition-checkpoint</c>. Also holds what replication
/// stores beside the log, which then costs neither a file nor a flush of its own. Knows the file, but no segments: see
/// <see cref="LogFlusher"/>.
/// </summary>
/// <remarks>
/// <code>
/// recovery point  &lt;=  flushed point  &lt;=  log end
///
/// recovery point      a restart after a crash begins to scan here
/// flushed point       all before it is durable; the file may still have an older one
/// secured offset      of the flushed point in the file: what a restart knows to be durable
///
/// NoteFlushed         flushed point                         memory alone
/// Secure              secured offset = flushed point        written
/// MoveRecoveryPoint   recovery point = flushed point        written
/// TryMoveLogStart     log start offset                      written, both slots
/// Lower               recovery point, flushed point back    written, both slots: the log is about to be cut
/// BeginEmptying       none known, high watermark back       written, both slots: the log is about to be emptied
/// StartAt             all at the same place                 written, both slots: the log was emptied
///
/// Settle              all marks                             written: the replica was opened
/// RaiseFence          fence                                 written; it never goes back
/// BeginCountingOnlyFlushed, GiveUpCountingOnlyFlushed       written
/// ForgetIncarnation   no incarnation                        written without a flush
///
/// Freeze              nothing but ForgetIncarnation         a cut of the log was interrupted
/// NoteFailure         nothing but ForgetIncarnation         a flush failed
/// </code>
/// The marks change by these transitions alone, each in one hold of the lock. A caller that read them, and wrote them back changed, would
/// undo what another has stored meanwhile.
/// What must not come back is written into both slots: a slot that is damaged later then reveals no older state.
/// <para><see cref="FlushLock"/> guards all of it. Offsets that are read alone are published without it.</para>
/// </remarks>
internal sealed class DurablePoints(FileHandleCache cache, string directory)
{
    private readonly PartitionCheckpoint _checkpoint = new(cache.Files, directory);
    private readonly CachedFile _file = new(cache, directory, -1, LogFiles.Checkpoint);
    private long _logStartOffset;
    private LogPosition _recoveryPoint;
    private StateKinds _snapshots;
    private bool _hasTransactions;
    private LogPosition _flushedPoint;
    private LogPosition _securedPoint;
    private long _securedOffset;
    // As the file has them, but for the high watermark, which follows along with the next write.
    private ReplicaMarks _marks;
    private long _highWatermark;
    private CheckpointState? _intent;
    private bool _isFrozen;
    private Exception? _failure;

    /// <summary>Guards the points and the file. Held during flushes.</summary>
    public Lock FlushLock { get; } = new();

    /// <summary>The path of the checkpoint file.</summary>
    public string Path => _checkpoint.Path;

    /// <summary>The first offset that can be read.</summary>
    public long LogStartOffset => Volatile.Read(ref _logStartOffset);

    /// <summary>All before it is durable, and a restart knows that. Never waits for a flush.</summary>
    public long SecuredOffset => Volatile.Read(ref _securedOffset);

    /// <summary>All before it is durable.</summary>
    public LogPosition FlushedPoint
    {
        get
        {
            lock (FlushLock)
                return _flushedPoint;
        }
    }

    /// <summary>Where a restart after a crash begins to scan.</summary>
    public LogPosition RecoveryPoint
    {
        get
        {
            lock (FlushLock)
                return _recoveryPoint;
        }
    }

    /// <summary>The stored marks of the replica, except the high watermark, which is the one last passed to
    /// <see cref="NoteHighWatermark"/>.</summary>
    public ReplicaMarks Marks
    {
        get
        {
            lock (FlushLock)
                return _marks with { HighWatermark = Volatile.Read(ref _highWatermark) };
        }
    }

    /// <summary>Reads the file.</summary>
    /// <returns>False if it is missing or damaged; then <paramref name="state"/> is <see cref="CheckpointState.Unknown"/>.</returns>
    public bool TryRead(out CheckpointState state)
    {
        var isRead = _checkpoint.TryRead(out state);
        (_marks, _highWatermark) = (state.Replica, state.Replica.HighWatermark);
        return isRead;
    }

    /// <summary>Takes over a state that <see cref="TryRead"/> returned.</summary>
    /// <param name="state">The state.</param>
    /// <param name="logStartOffset">The log start offset, also where the state has none.</param>
    /// <param name="recoveryPoint">The recovery point; none where the files have no such position.</param>
    public void Load(in CheckpointState state, long logStartOffset, LogPosition recoveryPoint)
    {
        Volatile.Write(ref _logStartOffset, logStartOffset);
        _recoveryPoint = recoveryPoint;
        (_snapshots, _hasTransactions) = (state.Snapshots, state.HasTransactions);
        _flushedPoint = state.FlushedPoint;
        NoteSecured(state.FlushedPoint);
    }

    /// <summary>Creates the file again after it was lost: with nothing known.</summary>
    public void CreateUnknown() => _checkpoint.Create(CheckpointState.Unknown);

    /// <summary>Creates the file of a new log. Makes the directory's entries durable, too.</summary>
    public void Create(LogPosition end)
    {
        _recoveryPoint = _flushedPoint = end;
        _checkpoint.Create(Describe());
        NoteSecured(end);
    }

    /// <summary>The log was closed cleanly: all up to its end is durable, as the file says by its recovery point.</summary>
    public void NoteClean(LogPosition end)
    {
        _flushedPoint = end;
        NoteSecured(end);
    }

    /// <summary>Whether all before a position is known to be durable. Under <see cref="FlushLock"/>.</summary>
    /// <remarks>One offset can have two positions: the end of a segment, and the start of the next.</remarks>
    public bool Covers(LogPosition position) => position == _flushedPoint || position.Offset < _flushedPoint.Offset;

    /// <summary>All before a position is durable. Under <see cref="FlushLock"/>.</summary>
    public void NoteFlushed(LogPosition position) => _flushedPoint = position;

    /// <summary>Stores the flushed point durably if the file has an older one. Under <see cref="FlushLock"/>.</summary>
    public void Secure()
    {
        if (_securedPoint != _flushedPoint)
            Write(Describe());
    }

    /// <summary>Moves the recovery point, durably. Under <see cref="FlushLock"/>.</summary>
    /// <param name="position">The new recovery point; all before it is durable, indexes too.</param>
    /// <param name="snapshots">The snapshots for it.</param>
    /// <param name="hasTransactions">See <see cref="CheckpointState.HasTransactions"/>; it stays until the log is emptied.</param>
    public void MoveRecoveryPoint(LogPosition position, StateKinds snapshots, bool hasTransactions = false)
    {
        hasTransactions |= _hasTransactions;
        Write(Describe() with { RecoveryPoint = position, Snapshots = snapshots, HasTransactions = hasTransactions });
        (_recoveryPoint, _snapshots, _hasTransactions) = (position, snapshots, hasTransactions);
    }

    /// <summary>The log has transactions, as its files show: the next write says it. For checkpoints that were written before they could.
    /// While the log is opened.</summary>
    public void NoteTransactions() => _hasTransactions = true;

    /// <summary>Moves the log start offset up, durably.</summary>
    /// <returns>False if it is there already, or further.</returns>
    public bool TryMoveLogStart(long offset)
    {
        lock (FlushLock)
        {
            if (offset <= _logStartOffset)
                return false;
            Write(Describe() with { LogStartOffset = offset });
            Volatile.Write(ref _logStartOffset, offset);
            Write(Describe());
            return true;
        }
    }

    /// <summary>
    /// Moves the points back to where the log is about to be cut, durably. It comes before the cut: what is missing below the flushed point
    /// counts as damage. Under <see cref="FlushLock"/>.
    /// </summary>
    /// <param name="cut">The log's end after the cut.</param>
    /// <param name="known">What is known at the log's end: of that, snapshots are needed at the recovery point.</param>
    public void Lower(LogPosition cut, StateKinds known)
    {
        if (IsBehind(_flushedPoint, cut))
            _flushedPoint = cut;
        if (IsBehind(_recoveryPoint, cut))
        {
            // The segment's start, not the cut: only at its end does the time index cover all batches before.
            _recoveryPoint = new LogPosition(cut.SegmentBase, cut.SegmentBase, 0);
            _snapshots |= known;
        }
        WriteBothSlots();
    }

    /// <summary>Stores durably that the log is being emptied: a restart completes it. Under <see cref="FlushLock"/>.</summary>
    /// <param name="logStartOffset">Where the log will start.</param>
    public void BeginEmptying(long logStartOffset)
    {
        // Of the records that will follow none is known to be replicated. After an unclean election they are others, and a restart would
        // take them for replicated.
        NoteHighWatermark(logStartOffset);
        var intent = new CheckpointState(logStartOffset, LogPosition.None, LogPosition.None, StateKinds.None, IsBeingEmptied: true,
            Describe().Replica);
        _intent = intent;
        Write(intent);
        Write(intent);
    }

    /// <summary>Sets the points of a log that was emptied, durably. Under <see cref="FlushLock"/>.</summary>
    /// <param name="end">The log's only position.</param>
    public void StartAt(LogPosition end)
    {
        _recoveryPoint = _flushedPoint = end;
        (_snapshots, _hasTransactions) = (StateKinds.None, false);
        Volatile.Write(ref _logStartOffset, end.Offset);
        WriteBothSlots();
        _intent = null;
    }

    /// <summary>A cut was interrupted: the file says what a restart needs to complete it, and keeps saying that. Under
    /// <see cref="FlushLock"/>.</summary>
    public void Freeze() => _isFrozen = true;

    /// <summary>A flush of the log, of its indexes or of the file failed. The system reports that once, and may have dropped the bytes: a
    /// later flush would succeed without them. So nothing is flushed any more (proved by LogFlusherTests). Under
    /// <see cref="FlushLock"/>.</summary>
    /// <param name="fault">The first one stays.</param>
    public void NoteFailure(Exception fault) => _failure ??= fault;

    /// <summary>Refuses what would flush a log whose cut was interrupted, or of which a flush has failed. Under
    /// <see cref="FlushLock"/>.</summary>
    /// <exception cref="InterruptedCutException">It waits to be opened again.</exception>
    /// <exception cref="IOException">An earlier flush failed.</exception>
    public void ThrowIfFrozen()
    {
        if (_isFrozen)
            throw new InterruptedCutException(Path);
        if (_failure is { } failure)
            throw new IOException($"The log of '{Path}' is not flushed any more, since an earlier flush failed: {failure.Message}",
                failure);
    }

    /// <summary>Writes the state into both slots, durably.</summary>
    public void WriteBothSlots()
    {
        lock (FlushLock)
        {
            Write(Describe());
            Write(Describe());
        }
    }

    /// <summary>Stores the marks of a replica that was opened, durably. The fence never goes back.</summary>
    /// <param name="incarnation">The incarnation, kept or new.</param>
    /// <param name="bootId">The kernel's boot.</param>
    /// <param name="fence">The highest leader epoch seen.</param>
    /// <param name="countedOnlyFlushed">See <see cref="ReplicaMarks.CountedOnlyFlushed"/>.</param>
    public void Settle(Guid incarnation, Guid bootId, int fence, bool countedOnlyFlushed)
    {
        lock (FlushLock)
            Store(new ReplicaMarks(incarnation, bootId, Math.Max(fence, _marks.Fence), countedOnlyFlushed, _marks.HighWatermark));
    }

    /// <summary>Stores a higher leader epoch durably. A known one changes nothing.</summary>
    public void RaiseFence(int epoch)
    {
        lock (FlushLock)
            Store(_marks with { Fence = Math.Max(epoch, _marks.Fence) });
    }

    /// <summary>Stores durably that all records that the incarnation has counted are flushed, and that it counts no others from now on. A
    /// forgotten incarnation promises nothing.</summary>
    public void BeginCountingOnlyFlushed()
    {
        lock (FlushLock)
            Store(_marks with { CountedOnlyFlushed = _marks.Incarnation != Guid.Empty });
    }

    /// <summary>Stores durably that the incarnation may count records that are not flushed.</summary>
    public void GiveUpCountingOnlyFlushed()
    {
        lock (FlushLock)
            Store(_marks with { CountedOnlyFlushed = false });
    }

    /// <summary>Stores the high watermark durably if it has moved.</summary>
    public void WriteHighWatermark()
    {
        lock (FlushLock)
        {
            if (_marks.HighWatermark != Volatile.Read(ref _highWatermark))
                Write(Describe());
        }
    }

    /// <summary>Records a high watermark that was reached; the next write stores it, without a flush of its own.</summary>
    public void NoteHighWatermark(long offset) => Volatile.Write(ref _highWatermark, offset);

    /// <summary>
    /// Forgets the incarnation after a disk fault: acknowledged records may be lost, so this copy must not count as the member it was. Not
    /// flushed: the next process finds what the system holds, and after another boot the incarnation is given up anyway.
    /// </summary>
    /// <exception cref="IOException">The write failed too.</exception>
    public void ForgetIncarnation()
    {
        lock (FlushLock)
        {
            _marks = _marks with { Incarnation = Guid.Empty };
            using var lease = _file.Rent();
            // A log that is being emptied still is.
            _checkpoint.WriteWithoutFlush(lease.File, _intent is { } intent ? intent with { Replica = Describe().Replica } : Describe());
        }
    }

    /// <summary>Closes the file's handle once it is not in use.</summary>
    public void CloseFile() => _file.CloseWhenIdle();

    private static bool IsBehind(LogPosition point, LogPosition cut) =>
        point.SegmentBase > cut.SegmentBase || (point.SegmentBase == cut.SegmentBase && point.Position > cut.Position);

    private CheckpointState Describe() => new(_logStartOffset, _recoveryPoint, _flushedPoint, _snapshots,
        Replica: _marks with { HighWatermark = Volatile.Read(ref _highWatermark) }, HasTransactions: _hasTransactions);

    private void Store(in ReplicaMarks marks)
    {
        if (marks != _marks)
            Write(Describe() with { Replica = marks with { HighWatermark = Volatile.Read(ref _highWatermark) } });
    }

    private void Write(in CheckpointState state)
    {
        ThrowIfFrozen();
        try
        {
            using var lease = _file.Rent();
            _checkpoint.Write(lease.File, state);
        }
        catch (Exception fault) when (!DiskFaults.Passes(fault))
        {
            NoteFailure(fault);
            throw;
        }
        _marks = state.Replica;
        NoteSecured(state.FlushedPoint);
    }

    private void NoteSecured(LogPosition point)
    {
        _securedPoint = point;
        Volatile.Write(ref _securedOffset, Math.Max(point.Offset, 0));
    }
}
