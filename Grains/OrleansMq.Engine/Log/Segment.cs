using OrleansMq.Diagnostics;
using OrleansMq.Records;

namespace OrleansMq.Log;

/// <summary>
/// A piece of a partition's log: the batches from <see cref="BaseOffset"/> up to the next segment's, and the two indexes over them. Only
/// the last segment of a log is appended to. Once another follows, its bytes never change.
/// </summary>
/// <remarks>
/// One thread at a time appends, truncates and seals, under the partition's append lock. Readers use published values: <see cref="Size"/>
/// and <see cref="NextOffset"/> advance after the bytes are in the file.
/// </remarks>
internal sealed partial class Segment
{
    private const long NoTimestamp = -1;
    private const long NotLoaded = long.MinValue;
    // More than systems read ahead: Linux 128 KiB unless it is told otherwise.
    private const int ReadAheadBytes = 8 << 20;

    private static long _removals;

    private readonly FileHandleCache _cache;
    private readonly string _directory;
    private long _size;
    private long _nextOffset;
    private long _flushedSize;
    private long _maxTimestamp = NotLoaded;
    private long _offsetOfMaxTimestamp;
    private int _bytesSinceEntry;
    private volatile bool _removed;
    private ReadMarks? _marks;
    private readonly string _suffix;
    private TransactionIndex? _aborted;
    private VerifiedRanges? _verified;
    // This process has written the bytes beyond it, or walked over them at its start, and none of them was found evicted since.
    private long _foundSize;

    /// <summary>Creates a segment whose files may or may not exist.</summary>
    public Segment(FileHandleCache cache, string directory, long baseOffset, string suffix = "")
    {
        _cache = cache;
        _directory = directory;
        _suffix = suffix;
        BaseOffset = baseOffset;
        _nextOffset = baseOffset;
        Log = new CachedFile(cache, directory, baseOffset, LogFiles.Log + suffix);
        Index = new OffsetIndex(new CachedFile(cache, directory, baseOffset, LogFiles.Index + suffix), baseOffset);
        TimeIndex = new TimeIndex(new CachedFile(cache, directory, baseOffset, LogFiles.TimeIndex + suffix), baseOffset);
    }

    /// <summary>The lowest possible offset of its records; names its files.</summary>
    public long BaseOffset { get; }
    /// <summary>The <c>.log</c> file.</summary>
    public CachedFile Log { get; }
    /// <summary>Maps offsets to positions.</summary>
    public OffsetIndex Index { get; }
    /// <summary>Maps timestamps to offsets.</summary>
    public TimeIndex TimeIndex { get; }
    /// <summary>The aborted transactions whose markers are in it; null while there are none.</summary>
    public TransactionIndex? Aborted => Volatile.Read(ref _aborted);
    /// <summary>The number of records that a cleaning has counted in it since it was rolled; null: none has.</summary>
    public long? CountedRecords { get; set; }
    /// <summary>The bytes of complete batches in the <c>.log</c> file.</summary>
    public long Size => Volatile.Read(ref _size);
    /// <summary>The offset after its last possible record. For a sealed segment, the next segment's base.</summary>
    public long NextOffset => Volatile.Read(ref _nextOffset);
    /// <summary>How many bytes of the log file are known to be on stable storage.</summary>
    public long FlushedSize => Volatile.Read(ref _flushedSize);
    /// <summary>The ends of recent reads.</summary>
    public ReadMarks Marks => Volatile.Read(ref _marks) ?? MakeMarks();
    /// <summary>Whether bytes were written since the last flush.</summary>
    public bool IsDirty => FlushedSize < Size;
    /// <summary>When the segment was created, in milliseconds since 1970; after a restart, an estimate from its first batch.</summary>
    public long CreatedAt { get; set; }
    /// <summary>The first batch's largest timestamp; -1 if the segment is empty, or if it is sealed and the value was not needed.</summary>
    public long FirstTimestamp { get; set; } = NoTimestamp;
    /// <summary>Whether it is no longer part of the log; its files may be gone.</summary>
    public bool IsRemoved => _removed;

    /// <summary>The largest timestamp of its records, in milliseconds since 1970; -1 if no record has one.</summary>
    public long MaxTimestamp
    {
        get
        {
            var known = Volatile.Read(ref _maxTimestamp);
            if (known != NotLoaded)
                return known;
            return LoadMaxTimestamp();
        }
    }

    /// <summary>Creates empty files.</summary>
    public void Create(long now)
    {
        Log.CreateEmpty();
        Index.File.CreateEmpty();
        TimeIndex.File.CreateEmpty();
        Index.Created();
        TimeIndex.Created();
        _maxTimestamp = NoTimestamp;
        CreatedAt = now;
    }

    /// <summary>Initializes a segment found on disk; its largest timestamp is loaded on demand.</summary>
    public void Found(long size, long nextOffset, bool flushed)
    {
        Volatile.Write(ref _foundSize, size);
        Volatile.Write(ref _size, size);
        Volatile.Write(ref _nextOffset, nextOffset);
        if (flushed)
            Volatile.Write(ref _flushedSize, size);
    }

    /// <summary>
    /// Records a batch that was written at the end of the file: index entries first, then the new size for readers.
    /// </summary>
    public void Appended(in RecordBatchHeader batch, long position, int indexIntervalBytes)
    {
        Invariant.Check(batch.BaseOffset >= _nextOffset, "A batch was appended below the log's end.");
        NoteForIndexes(batch, position, indexIntervalBytes);
        Volatile.Write(ref _nextOffset, batch.NextOffset);
        Volatile.Write(ref _size, position + batch.SizeInBytes);
    }

    /// <summary>Does the index work of <see cref="Appended"/>; also used when open walks over a tail of the log again.</summary>
    public void NoteForIndexes(in RecordBatchHeader batch, long position, int indexIntervalBytes)
    {
        var largest = MaxTimestamp;
        if (position == 0)
            FirstTimestamp = batch.MaxTimestamp;
        if (batch.MaxTimestamp > largest)
        {
            _offsetOfMaxTimestamp = batch.LastOffset;
            Volatile.Write(ref _maxTimestamp, batch.MaxTimestamp);
        }
        if (_bytesSinceEntry > indexIntervalBytes)
        {
            Index.Add(batch.LastOffset, (int)position);
            TimeIndex.AddIfLater(_maxTimestamp, _offsetOfMaxTimestamp);
            _bytesSinceEntry = 0;
        }
        _bytesSinceEntry += batch.SizeInBytes;
    }

    /// <summary>
    /// Updates the largest timestamp from the batches after the last index entry, after the segment was truncated.
    /// </summary>
    /// <returns>The offset after the last batch; the base offset if there is none.</returns>
    public long NoteTail()
    {
        Span<byte> buffer = stackalloc byte[BatchWalker.BufferBytes];
        using var lease = Log.Rent();
        var walker = new BatchWalker(lease.File, Index.TryGetLast(out _, out var from) ? from : 0, Size, buffer);
        var end = BaseOffset;
        while (walker.TryMoveNext())
        {
            end = walker.Header.NextOffset;
            if (walker.Header.MaxTimestamp > MaxTimestamp)
            {
                _offsetOfMaxTimestamp = walker.Header.LastOffset;
                Volatile.Write(ref _maxTimestamp, walker.Header.MaxTimestamp);
            }
        }
        return end;
    }

    /// <summary>Returns the last batch's header; null if there is none.</summary>
    public RecordBatchHeader? FindLast()
    {
        Span<byte> buffer = stackalloc byte[BatchWalker.BufferBytes];
        using var lease = Log.Rent();
        var walker = new BatchWalker(lease.File, Index.TryGetLast(out _, out var from) ? from : 0, Size, buffer);
        RecordBatchHeader? last = null;
        while (walker.TryMoveNext())
            last = walker.Header;
        return last;
    }

    /// <summary>Sets the number of bytes from the last index entry's batch (inclusive) to the end.</summary>
    public void SetBytesSinceEntry(int bytes) => _bytesSinceEntry = bytes;

    /// <summary>Resets the largest timestamp before a walk finds it again.</summary>
    public void ForgetMaxTimestamp() => Volatile.Write(ref _maxTimestamp, NoTimestamp);

    /// <summary>Writes both indexes out, with a last entry in the time index for the segment's largest timestamp.</summary>
    public void CompleteIndexes()
    {
        if (Size > 0)
            TimeIndex.AddIfLater(MaxTimestamp, _offsetOfMaxTimestamp);
        Index.WritePending();
        TimeIndex.WritePending();
        Aborted?.WritePending();
    }

    /// <summary>The size of both indexes' buffers in bytes.</summary>
    public int IndexBufferBytes => Index.BufferBytes + TimeIndex.BufferBytes;

    /// <summary>Releases the buffers of both indexes, after <see cref="CompleteIndexes"/>.</summary>
    public void ReleaseIndexBuffers()
    {
        Index.ReleaseBuffer();
        TimeIndex.ReleaseBuffer();
    }

    /// <summary>Estimates when a segment that was found on disk was created: at its first batch's timestamp, but not in the
    /// future.</summary>
    public void GuessCreation(long now) => CreatedAt = FirstTimestamp >= 0 ? Math.Min(FirstTimestamp, now) : now;

    /// <summary>Records that the file was truncated to <see cref="Size"/>: until the next flush a crash may bring the removed bytes
    /// back.</summary>
    public void WasCut()
    {
        CountedRecords = null;
        Volatile.Write(ref _flushedSize, -1);
        Volatile.Write(ref _marks, null);
        Volatile.Write(ref _verified, null);
    }

    /// <summary>Makes the log file durable up to its size at the call. Never call it again after it threw: the page cache may have lost the
    /// bytes (see <see cref="DurablePoints.NoteFailure"/>).</summary>
    public void FlushLog()
    {
        var size = Size;
        using (var lease = Log.Rent())
            FlushOnce.Flush(lease.File);
        if (size > FlushedSize)
            Volatile.Write(ref _flushedSize, size);
    }

    /// <summary>Makes the indexes durable.</summary>
    /// <returns>Whether one of them is a new file, whose name is not durable yet.</returns>
    public bool FlushIndexes()
    {
        using (var lease = Index.File.Rent())
            FlushOnce.Flush(lease.File);
        using (var lease = TimeIndex.File.Rent())
            FlushOnce.Flush(lease.File);
        return Aborted?.Flush() ?? false;
    }

    /// <summary>Returns the index of aborted transactions, which is begun if there is none.</summary>
    public TransactionIndex BeginAborted()
    {
        if (Aborted is { } begun)
            return begun;
        var index = new TransactionIndex(new CachedFile(_cache, _directory, BaseOffset, LogFiles.TransactionIndex + _suffix));
        return Interlocked.CompareExchange(ref _aborted, index, null) ?? index;
    }

    /// <summary>Whether this process has verified a range of the log file, by writing it or by checking its CRCs.</summary>
    public bool IsVerified(long from, long to)
    {
        var found = Volatile.Read(ref _foundSize);
        return from >= found || Volatile.Read(ref _verified) is { } verified && verified.Contains(from, Math.Min(to, found));
    }

    /// <summary>Records that the CRCs of a range are correct.</summary>
    public void Verified(long from, long to)
    {
        var found = Volatile.Read(ref _foundSize);
        if (from < found)
            (Volatile.Read(ref _verified) ?? MakeVerified()).Add(from, Math.Min(to, found));
    }

    /// <summary>Records that some of a range was not in memory: what a read brings back from the disk is not verified, and the system reads
    /// more than it is asked for.</summary>
    public void Evicted(long from, long to)
    {
        var verified = Volatile.Read(ref _verified) ?? MakeVerified();
        // Two at once must not add what the other removes.
        lock (verified)
        {
            var (found, size) = (_foundSize, Size);
            to += ReadAheadBytes;
            if (to > found && size > found)
                verified.Add(found, size);
            verified.Remove(from, to);
            if (to > found && size > found)
                Volatile.Write(ref _foundSize, size);
        }
    }

    private ReadMarks MakeMarks()
    {
        var made = new ReadMarks();
        return Interlocked.CompareExchange(ref _marks, made, null) ?? made;
    }

    private VerifiedRanges MakeVerified()
    {
        var made = new VerifiedRanges();
        return Interlocked.CompareExchange(ref _verified, made, null) ?? made;
    }
}
