using OrleansMq.Producers;
using OrleansMq.Queues;
using OrleansMq.Records;
using OrleansMq.Storage;
using OrleansMq.Topics;

namespace OrleansMq.Log;

/// <summary>
/// A partition's log: segments in the order of their offsets, the last of which is appended to; the offsets it starts and ends at; and how
/// much of it is durable. It knows files and offsets, but no requests that wait for them.
/// </summary>
/// <remarks>
/// This class writes, and is the face of the log's parts. The state is in <see cref="LogParts"/>; what changes several parts has a class of
/// its own:
/// <code>
/// LogOpening, LogRecovery   from a directory to a log
/// SegmentRoller             begins a new segment
/// LogReader, TimeLookup     reads by offset and by time
/// LogFlusher                makes the log durable
/// LogRetention              moves the log's start
/// LogTruncation             moves the log's end back
/// </code>
/// Locks, taken in this order:
/// <list type="number">
/// <item><see cref="RemovalLock"/>: which segments leave the log. Held while compaction exchanges segments, so that none leaves meanwhile,
/// and during a truncation. A cleaning reads without it, and gives up if the log was cut since it began (<see cref="Cuts"/>).</item>
/// <item><see cref="AppendLock"/>: the log's end, the list of segments, the state. Held by the append loop for a round, and while a segment
/// is added, removed or replaced.</item>
/// <item><see cref="IndexRepair.Lock"/>: the indexes of sealed segments. Held during their rebuild, and during a truncation.</item>
/// <item><see cref="DurablePoints.FlushLock"/>: the flushed point, the recovery point, the log start offset and the checkpoint file that
/// stores them. Held during flushes, also without the append lock, so that a background flush stops no append.</item>
/// </list>
/// Readers take none of the locks: the array of segments is replaced, never changed, and offsets are published after what they refer to.
/// </remarks>
internal sealed class SegmentedLog
{
    private readonly LogParts _parts;
    private readonly SegmentList _segments;
    private readonly DurablePoints _points;
    private readonly SegmentRoller _roller;
    private readonly LogFlusher _flusher;
    private readonly LogReader _reader;
    private readonly TimeLookup _times;
    private readonly LogRetention _retention;
    private readonly LogTruncation _truncation;

    private SegmentedLog(LogParts parts, bool clean)
    {
        _parts = parts;
        (_segments, _points, State) = (parts.Segments, parts.Points, parts.State);
        AppendLock = _segments.AppendLock;
        var repair = new IndexRepair(parts);
        _roller = new SegmentRoller(parts);
        _flusher = new LogFlusher(parts);
        _reader = new LogReader(parts, repair);
        _times = new TimeLookup(parts, _reader, repair);
        _retention = new LogRetention(parts, _flusher, _roller);
        _truncation = new LogTruncation(parts, repair, _flusher, _roller);
        Opening = new LogOpening(parts, _flusher, _retention, _truncation).Run(clean);
    }

    /// <summary>Opens the log in a directory, or begins one there.</summary>
    /// <param name="ports">The dependencies that all logs share.</param>
    /// <param name="directory">The partition's directory; it exists.</param>
    /// <param name="config">The topic's configuration.</param>
    /// <param name="clean">Whether the broker was closed cleanly: then nothing before the recovery point needs to be read.</param>
    /// <exception cref="DamagedLogException">Bytes that were flushed are missing or changed; nothing was changed.</exception>
    /// <exception cref="IOException">The disk failed.</exception>
    public static SegmentedLog Open(LogPorts ports, string directory, TopicConfig config, bool clean) =>
        new(new LogParts(ports, directory, config), clean);

    /// <summary>The state in which the log was opened.</summary>
    public OpeningReport Opening { get; }
    /// <inheritdoc cref="SegmentList.RemovalLock"/>
    public Lock RemovalLock => _segments.RemovalLock;
    /// <summary>Guards the log's end; see the remarks.</summary>
    public Lock AppendLock { get; }
    /// <summary>The path of the log's directory.</summary>
    public string Directory => _parts.Directory.Path;
    /// <summary>The topic's configuration in force.</summary>
    public TopicConfig Config { get => _parts.Config; set => _parts.Config = value; }
    /// <summary>What the batches amount to at the log's end. Under <see cref="AppendLock"/>.</summary>
    public LogState State { get; }
    /// <summary>All segments, oldest first; never empty.</summary>
    public IReadOnlyList<Segment> Segments => _segments.All;
    /// <summary>The segment that is appended to.</summary>
    public Segment Active => _segments.Active;
    /// <summary>The first offset that can be read.</summary>
    public long LogStartOffset => _points.LogStartOffset;
    /// <summary>The offset that the next record gets.</summary>
    public long LogEndOffset => _segments.Active.NextOffset;
    /// <summary>The position of the log's end. Under <see cref="AppendLock"/>.</summary>
    public LogPosition End => _segments.End;
    /// <summary>The size of all segments' logs in bytes.</summary>
    public long SizeInBytes => _segments.SizeInBytes;
    /// <summary>Whether offsets follow each other without gaps, as in every log that was never compacted.</summary>
    public bool IsGapless => _parts.Gaps.IsGapless;

    /// <summary>Returns the highest id below a bound of a producer that is known; -1 for none.</summary>
    public long HighestProducerIdBelow(long bound)
    {
        lock (AppendLock)
            return State.Producers.Producers.Where(producer => producer.Key < bound).Max(producer => (long?)producer.Key) ?? -1;
    }

    /// <summary>Decides whether a batch goes into a new segment. Under <see cref="AppendLock"/>.</summary>
    /// <param name="batch">The batch's header.</param>
    /// <param name="lastOffset">The batch's last offset.</param>
    /// <param name="pendingBytes">The bytes that are about to be written to the active segment before it. If it rolls, they are written
    /// first.</param>
    /// <param name="claimBytes">The bytes of the control batch right before it, which goes into the same segment.</param>
    public RollReason MustRoll(in RecordBatchHeader batch, long lastOffset, long pendingBytes, int claimBytes = 0) =>
        _roller.BeforeAppend(batch, lastOffset, pendingBytes, claimBytes);

    /// <summary>Whether the active segment's indexes can hold an offset. Under <see cref="AppendLock"/>.</summary>
    public bool CanIndex(long offset) => RollPolicy.CanIndex(_segments.Active.BaseOffset, offset);

    /// <summary>Begins a new segment at the log's end. Under <see cref="AppendLock"/>. A crash at any point leaves an empty last segment or
    /// none.</summary>
    public void Roll(long now) => _roller.Roll(now);

    /// <summary>Begins a new segment if the active one is older than <c>segment.ms</c>. Returns whether it did.</summary>
    public bool RollIfOld(long now)
    {
        lock (AppendLock)
            return _roller.RollIfOld(now);
    }

    /// <summary>
    /// Writes batches to the end of the active segment with one call. Under <see cref="AppendLock"/>. Readers see them after
    /// <see cref="Appended"/> or <see cref="ApplyAppended"/>. What was staged in <see cref="State"/> is committed. If the write fails, that
    /// is rolled back, and the file is cut with the handle that it was written with.
    /// </summary>
    /// <exception cref="IOException">Nothing was written.</exception>
    /// <exception cref="WriteNotUndoneException">The file's content is unknown.</exception>
    public void Write(IReadOnlyList<ReadOnlyMemory<byte>> batches)
    {
        try
        {
            var active = _segments.Active;
            using var lease = active.Log.Rent();
            try
            {
                if (batches.Count == 1)
                    lease.File.Write(batches[0].Span, active.Size);
                else
                    lease.File.Write(batches, active.Size);
            }
            catch (Exception)
            {
                UndoWrite(active, lease.File);
                throw;
            }
        }
        catch (Exception)
        {
            State.Rollback();
            throw;
        }
        State.Commit();
    }

    /// <summary>Publishes a batch that was staged and is written: the indexes follow, and readers see it. Under
    /// <see cref="AppendLock"/>.</summary>
    public void Appended(in RecordBatchHeader batch)
    {
        var active = _segments.Active;
        State.NoteMarker(batch, active);
        active.Appended(batch, active.Size, _parts.Config.IndexIntervalBytes);
    }

    /// <summary>Publishes a batch that was not staged: a follower checks nothing before it writes. Under
    /// <see cref="AppendLock"/>.</summary>
    public void ApplyAppended(in RecordBatchHeader header, ReadOnlySpan<byte> batch, long now)
    {
        State.Apply(header, batch, now);
        Appended(header);
    }

    /// <summary>
    /// Moves the log's end up without a record: compaction left nothing of what the leader held there. Under <see cref="AppendLock"/>.
    /// </summary>
    public void AdvanceTo(long endOffset)
    {
        NoteGap();
        // A log end that no batch tells is a segment's base offset.
        var active = _segments.Active;
        var before = active.NextOffset;
        active.Found(active.Size, endOffset, flushed: false);
        try
        {
            _roller.Roll(_parts.Ports.Now);
        }
        catch
        {
            // Told again, the roll is tried again; an end that no file tells would be lost by a crash.
            active.Found(active.Size, before, flushed: false);
            throw;
        }
    }

    /// <summary>Allows gaps between offsets, durably. Called before the first gap, or a restart would take it for a loss. Under
    /// <see cref="AppendLock"/>.</summary>
    public void NoteGap() => _parts.Gaps.Note(LogStartOffset);

    /// <summary>Reads whole batches. See <see cref="LogReader.Read"/>.</summary>
    /// <returns>Null if there is nothing below the limit.</returns>
    /// <exception cref="CutDuringReadException">The log was cut meanwhile.</exception>
    public BatchBuffer? Read(long offset, long limit, int maxBytes) => Read(offset, limit, maxBytes, allowsSlice: false).Batches;

    /// <summary>Reads whole batches, or returns their position. See <see cref="LogReader.Read"/>.</summary>
    /// <returns>Both null if there is nothing below the limit.</returns>
    /// <exception cref="CutDuringReadException">The log was cut meanwhile.</exception>
    public (BatchBuffer? Batches, LogSlice? Slice) ReadOrSlice(long offset, long limit, int maxBytes) =>
        Read(offset, limit, maxBytes, allowsSlice: true);

    // A read takes no lock, and may see anything of a file that is being cut.
    private (BatchBuffer? Batches, LogSlice? Slice) Read(long offset, long limit, int maxBytes, bool allowsSlice)
    {
        var cuts = Cuts;
        try
        {
            return _reader.Read(offset, limit, maxBytes, allowsSlice);
        }
        catch (Exception fault) when (_segments.WasCutSince(cuts))
        {
            throw new CutDuringReadException(Directory, fault);
        }
    }

    /// <summary>Reads whole batches, and finds which of them belong to aborted transactions. See <see cref="LogReader.Read"/>.</summary>
    /// <returns>Null if there is nothing below the limit.</returns>
    public BatchBuffer? Read(long offset, long limit, int maxBytes, out AbortedRecords aborted)
    {
        while (true)
        {
            var segments = Segments;
            var read = Read(offset, limit, maxBytes);
            try
            {
                if ((read is null ? [] : FindAborted(segments, offset, read.NextOffset)) is { } found)
                {
                    aborted = AbortedRecords.Of(found);
                    return read;
                }
            }
            catch
            {
                read?.Dispose();
                throw;
            }
            // A segment was removed meanwhile.
            read?.Dispose();
        }
    }

    /// <summary>Returns the aborted transactions that have records in a range below the last stable offset, in the order of their markers.
    /// Readers leave those records out.</summary>
    /// <param name="segments">The segments as they were before the range was read: compaction may drop an entry with its records.</param>
    /// <param name="from">The first offset of the range.</param>
    /// <param name="end">The offset after it.</param>
    /// <returns>Null if a segment with records of the range was removed or replaced meanwhile: read again. With the entry of a marker that
    /// is gone a client would leave out what the producer committed later.</returns>
    public IReadOnlyList<AbortedTransaction>? FindAborted(IReadOnlyList<Segment> segments, long from, long end)
    {
        if (!State.Transactions.HasAborted || from >= end)
            return [];
        var cuts = Cuts;
        var found = new List<AbortedTransaction>();
        try
        {
            var first = SegmentList.Find((Segment[])segments, from);
            for (var index = first; index < segments.Count; index++)
            {
                if (segments[index].Aborted is { } aborted && aborted.Collect(from, end, found))
                    break;
            }
            return AreInPlace(segments, first, end) ? found : null;
        }
        catch (Exception fault) when (_segments.WasCutSince(cuts))
        {
            throw new CutDuringReadException(Directory, fault);
        }
        catch (FileNotFoundException) when (segments.Any(static segment => segment.IsRemoved))
        {
            return null;
        }
    }

    private bool AreInPlace(IReadOnlyList<Segment> segments, int first, long end)
    {
        var current = _segments.All;
        if (ReferenceEquals(current, segments))
            return true;
        for (var index = first; index < segments.Count && segments[index].BaseOffset < end; index++)
        {
            if (current[SegmentList.Find(current, segments[index].BaseOffset)] != segments[index])
                return false;
        }
        return true;
    }

    /// <inheritdoc cref="TimeLookup.FindAtOrAfter"/>
    /// <exception cref="CutDuringReadException">The log was cut meanwhile.</exception>
    public FoundRecord? FindAtOrAfter(long timestamp, long limit)
    {
        var cuts = Cuts;
        try
        {
            return _times.FindAtOrAfter(timestamp, limit);
        }
        catch (Exception fault) when (_segments.WasCutSince(cuts))
        {
            throw new CutDuringReadException(Directory, fault);
        }
    }

    /// <inheritdoc cref="TimeLookup.FindMaxTimestamp"/>
    /// <exception cref="CutDuringReadException">The log was cut meanwhile.</exception>
    public FoundRecord? FindMaxTimestamp(long limit)
    {
        var cuts = Cuts;
        try
        {
            return _times.FindMaxTimestamp(limit);
        }
        catch (Exception fault) when (_segments.WasCutSince(cuts))
        {
            throw new CutDuringReadException(Directory, fault);
        }
    }

    /// <inheritdoc cref="DurablePoints.SecuredOffset"/>
    public long SecuredOffset => _points.SecuredOffset;

    /// <inheritdoc cref="DurablePoints.FlushedPoint"/>
    public LogPosition FlushedPoint => _points.FlushedPoint;

    /// <inheritdoc cref="DurablePoints.RecoveryPoint"/>
    public LogPosition RecoveryPoint => _points.RecoveryPoint;

    /// <inheritdoc cref="LogFlusher.FlushTo"/>
    /// <remarks>After a fault that does not pass, it throws: the system may have dropped the bytes.</remarks>
    public void FlushTo(LogPosition target, bool secure) => _flusher.FlushTo(target, secure);

    /// <inheritdoc cref="LogFlusher.Flush"/>
    /// <remarks>After a fault that does not pass, it throws: the system may have dropped the bytes.</remarks>
    public void Flush() => _flusher.Flush();

    /// <inheritdoc cref="LogFlusher.MoveRecoveryPoint"/>
    public bool MoveRecoveryPoint() => _flusher.MoveRecoveryPoint();

    /// <inheritdoc cref="LogFlusher.WriteBack"/>
    public void WriteBack(bool wait) => _flusher.WriteBack(wait);

    /// <summary>Writes out what the active segment's indexes hold in memory, and releases that memory.</summary>
    public void WriteIndexes()
    {
        lock (AppendLock)
        {
            var active = _segments.Active;
            active.CompleteIndexes();
            active.ReleaseIndexBuffers();
        }
    }

    /// <summary>Closes the files of the log, and those of segments that have left it, each once it is not in use. They are opened again on
    /// use.</summary>
    public void CloseFiles()
    {
        foreach (var segment in _segments.All)
            segment.CloseFiles();
        _parts.Removed.CloseFiles();
        _points.CloseFile();
    }

    /// <inheritdoc cref="LogRetention.MoveLogStart"/>
    public void MoveLogStart(long offset, long now) => _retention.MoveLogStart(offset, now);

    /// <inheritdoc cref="LogRetention.TryMoveLogStart"/>
    public bool TryMoveLogStart(long offset, long highWatermark, long now) => _retention.TryMoveLogStart(offset, highWatermark, now);

    /// <inheritdoc cref="LogRetention.Retain"/>
    public int Retain(long highWatermark, long now, long? settledBelow, out long wantedStart) =>
        _retention.Retain(highWatermark, now, settledBelow, out wantedStart);

    /// <inheritdoc cref="LogRetention.StartBound"/>
    public long StartBound(long highWatermark) => _retention.StartBound(highWatermark);

    /// <summary>Deletes the files of segments that left the log more than <c>file.delete.delay.ms</c> ago.</summary>
    public void DeleteRemoved(long now) => _parts.Removed.DeleteDue(now);

    /// <summary>Deletes the files of all segments that left the log.</summary>
    public void DeleteAllRemoved() => _parts.Removed.DeleteAll();

    /// <inheritdoc cref="LogTruncation.TruncateTo"/>
    /// <remarks>Under <see cref="RemovalLock"/> and <see cref="AppendLock"/>.</remarks>
    public void TruncateTo(long endOffset) => _truncation.TruncateTo(endOffset);

    /// <inheritdoc cref="LogTruncation.ResetTo"/>
    /// <remarks>Under <see cref="RemovalLock"/> and <see cref="AppendLock"/>.</remarks>
    public void ResetTo(long logStartOffset) => _truncation.ResetTo(logStartOffset);

    /// <inheritdoc cref="LogTruncation.IsHalfDone"/>
    public bool IsHalfCut => _truncation.IsHalfDone;

    /// <inheritdoc cref="LogTruncation.IsInterrupted"/>
    public bool IsCutInterrupted => _truncation.IsInterrupted;

    /// <inheritdoc cref="SegmentList.Cuts"/>
    public int Cuts => _segments.Cuts;

    /// <inheritdoc cref="SegmentList.WasCutSince"/>
    public bool WasCutSince(int cuts) => _segments.WasCutSince(cuts);

    /// <inheritdoc cref="CompactionProgress.FirstDirtyOffset"/>
    public long FirstDirtyOffset => _parts.Compaction.FirstDirtyOffset;

    /// <summary>Below it, compaction may have removed records in favour of later ones below it. 0 if it never ran.</summary>
    public long CompactedEndOffset => Math.Min(_parts.Compaction.EndOffset, LogEndOffset);

    /// <inheritdoc cref="CompactionProgress.ErasedEnd"/>
    public long ErasedEndOffset => _parts.Compaction.ErasedEnd;

    /// <summary>Stores durably that this log takes batches from a leader that may lack records below an offset without a trace. Under
    /// <see cref="AppendLock"/>.</summary>
    public void NoteErased(long endOffset)
    {
        // The leader has gaps there.
        NoteGap();
        _parts.Compaction.Erase(endOffset);
    }

    /// <summary>Stores durably that a pass of a cleaning is about to replace segments: see
    /// <see cref="CompactionProgress.Begin"/>. Stores the high watermark before that: should the other file be damaged, it tells how far a
    /// pass can have come.</summary>
    /// <returns>False, with nothing done, if the log was cut since.</returns>
    public bool BeginPass(long firstDirtyOffset, long endOffset, int cuts) => UnlessCut(cuts, progress =>
    {
        _points.WriteHighWatermark();
        progress.Begin(firstDirtyOffset, endOffset);
    });

    /// <summary>Stores durably that a pass has replaced the segments below an offset.</summary>
    /// <returns>False, with nothing done, if the log was cut since.</returns>
    public bool CompletePass(long endOffset, int cuts) => UnlessCut(cuts, progress => progress.Complete(endOffset));

    /// <summary>Stores durably that a cleaning is about to erase records below an offset: see
    /// <see cref="CompactionProgress.Erase"/>.</summary>
    /// <returns>False, with nothing done, if the log was cut since.</returns>
    public bool Erase(long endOffset, int cuts) => UnlessCut(cuts, progress => progress.Erase(endOffset));

    private bool UnlessCut(int cuts, Action<CompactionProgress> change)
    {
        lock (RemovalLock)
        {
            if (WasCutSince(cuts))
                return false;
            change(_parts.Compaction);
            return true;
        }
    }

    /// <summary>
    /// Makes the log durable, and the segments before the active one free to be replaced: no slot of the checkpoint file refers to them any
    /// more.
    /// </summary>
    public void SecureForCompaction()
    {
        _flusher.MoveRecoveryPoint();
        _points.WriteBothSlots();
    }

    /// <summary>The lowest record that a cursor is dead-lettering; <see cref="long.MaxValue"/> for none.</summary>
    public long DeadLettersFrom
    {
        get
        {
            lock (AppendLock)
                return State.Cursors.DeadLettersFrom;
        }
    }

    /// <inheritdoc cref="LogState.DedupeBound"/>
    public long DedupeBound(long highWatermark)
    {
        lock (AppendLock)
            return State.DedupeBound(highWatermark);
    }

    /// <summary>Whether a cursor is dead-lettering a record from an offset on and below another one.</summary>
    public bool HasDeadLettersIn(long from, long end)
    {
        lock (AppendLock)
            return State.Cursors.HasDeadLettersIn(new OffsetRange(from, end - 1));
    }

    /// <summary>Returns the last entries of each known producer.</summary>
    public Dictionary<long, LastEntries> LastEntriesOfProducers()
    {
        lock (AppendLock)
            return State.LastEntriesOfProducers();
    }

    /// <summary>
    /// Puts a cleaned segment in the place of neighbours: see <see cref="SegmentSwap"/> for the steps.
    /// </summary>
    /// <param name="old">Neighbours, none of them active.</param>
    /// <param name="cleaned">Flushed, under names that end in <c>.cleaned</c>, with the base offset of the first of them.</param>
    /// <param name="cuts"><see cref="Cuts"/> before the first of them was read.</param>
    /// <param name="now">Milliseconds since 1970.</param>
    /// <returns>False, with nothing done, if some of them are no longer in the log, or if it was cut since: a segment that was cut and
    /// appended to again is the same object.</returns>
    /// <exception cref="SegmentSwapException">The disk failed half-way.</exception>
    public bool Replace(IReadOnlyList<Segment> old, Segment cleaned, int cuts, long now)
    {
        lock (RemovalLock)
        {
            var first = _segments.IndexOf(old);
            if (first < 0 || WasCutSince(cuts))
                return false;
            var end = _segments.All[first + old.Count].BaseOffset;
            SegmentSwap.Exchange(_parts.Ports.Files, Directory, old, cleaned, end);
            cleaned.Found(cleaned.Size, end, flushed: true);
            lock (AppendLock)
                _segments.Replace(first, old.Count, cleaned);
            foreach (var segment in old)
                _parts.DeleteLater(segment, now);
        }
        _parts.Removed.DeleteDue(now);
        return true;
    }

    /// <inheritdoc cref="DurablePoints.Marks"/>
    public ReplicaMarks Marks => _points.Marks;

    /// <inheritdoc cref="DurablePoints.Settle"/>
    public void Settle(Guid incarnation, Guid bootId, int fence, bool countedOnlyFlushed) =>
        _points.Settle(incarnation, bootId, fence, countedOnlyFlushed);

    /// <inheritdoc cref="DurablePoints.RaiseFence"/>
    public void RaiseFence(int epoch) => _points.RaiseFence(epoch);

    /// <inheritdoc cref="DurablePoints.BeginCountingOnlyFlushed"/>
    public void BeginCountingOnlyFlushed() => _points.BeginCountingOnlyFlushed();

    /// <inheritdoc cref="DurablePoints.GiveUpCountingOnlyFlushed"/>
    public void GiveUpCountingOnlyFlushed() => _points.GiveUpCountingOnlyFlushed();

    /// <inheritdoc cref="DurablePoints.NoteHighWatermark"/>
    public void NoteHighWatermark(long offset) => _points.NoteHighWatermark(offset);

    /// <inheritdoc cref="DurablePoints.WriteHighWatermark"/>
    public void WriteHighWatermark() => _points.WriteHighWatermark();

    /// <inheritdoc cref="DurablePoints.ForgetIncarnation"/>
    public void ForgetIncarnation() => _points.ForgetIncarnation();

    // Cuts off what a failed write may have left.
    private static void UndoWrite(Segment active, IFile file)
    {
        active.WasCut();
        try
        {
            file.SetLength(active.Size);
        }
        catch (Exception fault) when (fault is IOException or UnauthorizedAccessException)
        {
            throw new WriteNotUndoneException(file.Path, active.Size, fault);
        }
    }
}
