using OrleansMq.Producers;
using OrleansMq.Records;
using OrleansMq.Topics;

namespace OrleansMq.Log;

/// <summary>
/// A partition's log: segments in the order of their offsets, the last of which is appended to; the offsets it starts and ends at; and how
/// much of it is on stable storage. Knows files and offsets, not who waits for them.
/// </summary>
/// <remarks>
/// Locks, taken in this order:
/// <list type="number">
/// <item><c>_removalLock</c>: which segments leave the log. Held while compaction exchanges segments, so that none goes meanwhile, and by
/// who cuts.</item>
/// <item><see cref="AppendLock"/>: the log's end, the list of segments, the producers. Held by the append loop for a round, and by whoever
/// rolls, removes or replaces segments.</item>
/// <item><c>_flushLock</c>: the flushed point, the recovery point, the log start offset and the checkpoint file that holds them. Held
/// during
/// flushes, also without the append lock, so that a flush in the background stops no append.</item>
/// </list>
/// Readers take neither: the array of segments is replaced, never changed, and offsets are published after what they speak of.
/// </remarks>
internal sealed partial class SegmentedLog
{
    private readonly LogPorts _ports;
    private readonly PartitionCheckpoint _checkpoint;
    private readonly CachedFile _checkpointFile;
    private readonly Lock _flushLock = new();
    private readonly Lock _removalLock = new();
    private volatile Segment[] _segments;
    private volatile TopicConfig _config;
    private long _logStartOffset;
    private LogPosition _recoveryPoint;
    private LogPosition _flushedPoint;
    private bool _hasProducersAtRecoveryPoint;
    private volatile bool _directoryDirty;
    private volatile bool _mayHaveGaps;

    private SegmentedLog(LogPorts ports, string directory, TopicConfig config, PartitionCheckpoint checkpoint)
    {
        _ports = ports;
        _config = config;
        _checkpoint = checkpoint;
        _segments = [];
        _checkpointFile = new CachedFile(ports.Cache, directory, -1, LogFiles.Checkpoint);
        Directory = directory;
        State = new LogState(new ProducerSnapshots(ports.Files, directory, ports.EngineLog));
    }

    /// <summary>Guards the log's end; see the remarks.</summary>
    public Lock AppendLock { get; } = new();
    /// <summary>Where its files are.</summary>
    public string Directory { get; }
    /// <summary>The topic's configuration in force.</summary>
    public TopicConfig Config
    {
        get => _config;
        set
        {
            _mayHaveGaps |= value.CleanupCompact;
            _config = value;
        }
    }

    /// <summary>Whether offsets follow each other without gaps: so in every log that was never compacted.</summary>
    public bool IsGapless => !_mayHaveGaps;
    /// <summary>What the batches amount to at the log's end. Under <see cref="AppendLock"/>.</summary>
    public LogState State { get; }
    /// <summary>All segments, oldest first; never empty.</summary>
    public IReadOnlyList<Segment> Segments => _segments;
    /// <summary>The segment that is appended to.</summary>
    public Segment Active => _segments[^1];
    /// <summary>The first offset that can be read.</summary>
    public long LogStartOffset => Volatile.Read(ref _logStartOffset);
    /// <summary>The offset the next record gets.</summary>
    public long LogEndOffset => _segments[^1].NextOffset;

    /// <summary>The log's end as a place. Under <see cref="AppendLock"/>.</summary>
    public LogPosition End => new(Active.NextOffset, Active.BaseOffset, Active.Size);

    /// <summary>Bytes of all segments' logs.</summary>
    public long SizeInBytes
    {
        get
        {
            var sum = 0L;
            foreach (var segment in _segments)
                sum += segment.Size;
            return sum;
        }
    }

    /// <summary>Whether a batch belongs into a new segment, when <paramref name="pendingBytes"/> are about to be written to this one.
    /// Under <see cref="AppendLock"/>.</summary>
    public RollReason MustRoll(in RecordBatchHeader batch, long lastOffset, long pendingBytes)
    {
        var active = Describe(Active);
        return RollPolicy.BeforeAppend(active with { Size = active.Size + pendingBytes }, batch.SizeInBytes, lastOffset,
            batch.MaxTimestamp, _config, Jitter());
    }

    /// <summary>Begins a new segment if the active one is older than <c>segment.ms</c>.</summary>
    public bool RollIfOld(long now)
    {
        lock (AppendLock)
        {
            if (RollPolicy.WhileIdle(Describe(Active), _config, Jitter(), now) == RollReason.None)
                return false;
            Roll(now);
            return true;
        }
    }

    /// <summary>
    /// Begins a new segment at the log's end. Under <see cref="AppendLock"/>. A crash at any point leaves an empty last segment or none.
    /// </summary>
    public void Roll(long now)
    {
        var old = Active;
        old.CompleteIndexes();
        State.SaveAtRoll();
        var segment = new Segment(_ports.Cache, Directory, old.NextOffset);
        CreateOrLeaveNothing(segment, now);
        _directoryDirty = true;
        old.Index.ReleaseBuffer();
        old.TimeIndex.ReleaseBuffer();
        _segments = [.. _segments, segment];
    }

    // Half of a segment that stayed behind would stand in the way of the next.
    private static void CreateOrLeaveNothing(Segment segment, long now)
    {
        try
        {
            segment.Create(now);
        }
        catch (Exception)
        {
            segment.DeleteFiles();
            throw;
        }
    }

    /// <summary>
    /// Writes batches to the end of the active segment with one call. Under <see cref="AppendLock"/>. Readers see them after
    /// <see cref="Appended"/> or <see cref="ApplyAppended"/>. What was staged in <see cref="State"/> is committed, or rolled back where the
    /// write fails; then the caller cuts the file with <see cref="UndoWrite"/>, or takes the log offline.
    /// </summary>
    public void Write(IReadOnlyList<ReadOnlyMemory<byte>> batches)
    {
        try
        {
            using var lease = Active.Log.Rent();
            if (batches.Count == 1)
                lease.File.Write(batches[0].Span, Active.Size);
            else
                lease.File.Write(batches, Active.Size);
        }
        catch (Exception)
        {
            State.Rollback();
            throw;
        }
        State.Commit();
    }

    /// <summary>Takes note of a batch that was staged and is written: the indexes follow, and readers see it. Under
    /// <see cref="AppendLock"/>.</summary>
    public void Appended(in RecordBatchHeader batch) => Active.Appended(batch, Active.Size, _config.IndexIntervalBytes);

    /// <summary>The same for a batch that was not staged: a follower checks nothing before it writes. Under <see cref="AppendLock"/>.
    /// </summary>
    public void ApplyAppended(in RecordBatchHeader batch, long now)
    {
        State.Apply(batch, now);
        Appended(batch);
    }

    /// <summary>Cuts off what a failed write may have left. Under <see cref="AppendLock"/>. When this throws the file's content is not
    /// known.</summary>
    public void UndoWrite()
    {
        Active.WasCut();
        using var lease = Active.Log.Rent();
        lease.File.SetLength(Active.Size);
    }

    /// <summary>Writes out what the active segment's indexes hold in memory, and gives that memory up.</summary>
    public void WriteIndexes()
    {
        lock (AppendLock)
        {
            Active.CompleteIndexes();
            Active.Index.ReleaseBuffer();
            Active.TimeIndex.ReleaseBuffer();
        }
    }

    /// <summary>Closes what is open and not in use; what is used later is opened again.</summary>
    public void CloseFiles()
    {
        foreach (var segment in _segments)
            segment.CloseFiles();
        _checkpointFile.Close();
    }

    /// <summary>The segment that would hold an offset: the last one that does not begin above it; the first for offsets below
    /// all.</summary>
    private static int FindSegment(Segment[] segments, long offset)
    {
        int low = 0, high = segments.Length - 1;
        while (low < high)
        {
            var middle = low + (high - low + 1) / 2;
            if (segments[middle].BaseOffset <= offset)
                low = middle;
            else
                high = middle - 1;
        }
        return low;
    }

    private static RollPolicy.Active Describe(Segment active) =>
        new(active.BaseOffset, active.Size, active.Index.Count, active.TimeIndex.Count, active.FirstTimestamp, active.CreatedAt);

    // Spreads the rolling of segments that were begun together; the same for one segment whenever it is asked.
    private long Jitter()
    {
        var most = Math.Min(_config.SegmentJitterMs, _config.SegmentMs);
        return most <= 0 ? 0 : (long)((ulong)HashCode.Combine(Directory, Active.BaseOffset) % (ulong)(most + 1));
    }
}
