using OrleansMq.Diagnostics;
using OrleansMq.Records;
using OrleansMq.Storage;

namespace OrleansMq.Log;

/// <summary>
/// A piece of a partition's log: the batches from <see cref="BaseOffset"/> up to the next segment's, and the two indexes over them. Only the
/// last segment of a log is appended to; once another follows, its bytes never change.
/// </summary>
/// <remarks>
/// Appending, cutting and sealing are done by one thread at a time, under the partition's append lock. Readers use what is published:
/// <see cref="Size"/> and <see cref="NextOffset"/> move forward after the bytes are in the file.
/// </remarks>
internal sealed class Segment
{
    private const long NoTimestamp = -1;
    private const long NotLoaded = long.MinValue;

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

    /// <summary>A segment whose files may or may not be there.</summary>
    public Segment(FileHandleCache cache, string directory, long baseOffset, string suffix = "")
    {
        _cache = cache;
        _directory = directory;
        BaseOffset = baseOffset;
        _nextOffset = baseOffset;
        Log = new CachedFile(cache, directory, baseOffset, LogFiles.Log + suffix);
        Index = new OffsetIndex(new CachedFile(cache, directory, baseOffset, LogFiles.Index + suffix), baseOffset);
        TimeIndex = new TimeIndex(new CachedFile(cache, directory, baseOffset, LogFiles.TimeIndex + suffix), baseOffset);
    }

    /// <summary>No record in it has a lower offset; names its files.</summary>
    public long BaseOffset { get; }
    /// <summary>The <c>.log</c> file.</summary>
    public CachedFile Log { get; }
    /// <summary>Offset to position.</summary>
    public OffsetIndex Index { get; }
    /// <summary>Timestamp to offset.</summary>
    public TimeIndex TimeIndex { get; }
    /// <summary>Bytes of whole batches in the <c>.log</c> file.</summary>
    public long Size => Volatile.Read(ref _size);
    /// <summary>Every record in it has a lower offset. Of a sealed segment, the next segment's base.</summary>
    public long NextOffset => Volatile.Read(ref _nextOffset);
    /// <summary>How much of the log file is known to be on stable storage.</summary>
    public long FlushedSize => Volatile.Read(ref _flushedSize);
    /// <summary>Whether bytes were written since the last flush.</summary>
    public bool IsDirty => FlushedSize < Size;
    /// <summary>When the segment was begun, in milliseconds since 1970; after a restart, a guess from its first batch.</summary>
    public long CreatedAt { get; set; }
    /// <summary>The first batch's largest timestamp; -1 where the segment is empty, or sealed and nobody needed it.</summary>
    public long FirstTimestamp { get; set; } = NoTimestamp;
    /// <summary>Whether it is no longer part of the log: its files may be gone.</summary>
    public bool IsRemoved => _removed;

    /// <summary>The largest timestamp of its records, in milliseconds since 1970; -1 where no record has one.</summary>
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

    /// <summary>Takes the largest timestamp from the time index, whose last entry is known to be right.</summary>
    public void TakeMaxTimestamp()
    {
        var known = TimeIndex.TryGetLast(out var timestamp, out var offset) ? timestamp : NoTimestamp;
        Volatile.Write(ref _offsetOfMaxTimestamp, offset);
        Volatile.Write(ref _maxTimestamp, known);
    }

    /// <summary>
    /// Takes the largest timestamp from the time index, if the batch it speaks of agrees: retention goes by it, and must not follow an index that a disk
    /// has changed. Otherwise from the batches.
    /// </summary>
    private long LoadMaxTimestamp()
    {
        var known = NoTimestamp;
        if (TimeIndex.TryGetLast(out var timestamp, out var offset))
        {
            known = FindBatch(offset, useIndex: true, gapless: false, out _, out var batch) == BatchSearch.Found && batch.LastOffset == offset && batch.MaxTimestamp == timestamp
                ? timestamp
                : FindMaxTimestamp(out offset);
        }
        Volatile.Write(ref _offsetOfMaxTimestamp, offset);
        Volatile.Write(ref _maxTimestamp, known);
        return known;
    }

    private long FindMaxTimestamp(out long offset)
    {
        var largest = NoTimestamp;
        offset = -1;
        Span<byte> buffer = stackalloc byte[BatchWalker.BufferBytes];
        using var lease = Log.Rent();
        var walker = new BatchWalker(lease.File, 0, Size, buffer);
        while (walker.TryMoveNext())
        {
            if (walker.Header.MaxTimestamp > largest)
                (largest, offset) = (walker.Header.MaxTimestamp, walker.Header.LastOffset);
        }
        return largest;
    }

    /// <summary>The first batch's largest timestamp, read where it is not known; -1 where the segment is empty.</summary>
    public long LoadFirstTimestamp()
    {
        if (FirstTimestamp < 0 && Size >= RecordBatchHeader.Size)
        {
            Span<byte> header = stackalloc byte[RecordBatchHeader.Size];
            using var lease = Log.Rent();
            if (lease.File.Read(header, 0) == header.Length)
                FirstTimestamp = RecordBatchHeader.Read(header).MaxTimestamp;
        }
        return FirstTimestamp;
    }

    /// <summary>Indexes for this segment beside those it has, empty, under names that mean nothing after a crash.</summary>
    public Segment BeginNewIndexes()
    {
        var made = new Segment(_cache, _directory, BaseOffset, AtomicFile.TemporarySuffix);
        made.Index.File.CreateEmpty();
        made.TimeIndex.File.CreateEmpty();
        made.Index.Created();
        made.TimeIndex.Created();
        made.ForgetMaxTimestamp();
        return made;
    }

    /// <summary>Puts indexes that were made beside this segment's in their place.</summary>
    public void TakeIndexesOf(Segment made)
    {
        made.Index.File.Rename(LogFiles.Index);
        made.TimeIndex.File.Rename(LogFiles.TimeIndex);
        made.CloseFiles();
        Index.File.CloseWhenIdle();
        TimeIndex.File.CloseWhenIdle();
        Index.Reload();
        TimeIndex.Reload();
        _offsetOfMaxTimestamp = made._offsetOfMaxTimestamp;
        Volatile.Write(ref _maxTimestamp, made.MaxTimestamp);
    }

    /// <summary>Creates the files, empty.</summary>
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

    /// <summary>Says what a segment found on disk holds; its largest timestamp is loaded when somebody asks.</summary>
    public void Found(long size, long nextOffset, bool flushed)
    {
        Volatile.Write(ref _size, size);
        Volatile.Write(ref _nextOffset, nextOffset);
        if (flushed)
            Volatile.Write(ref _flushedSize, size);
    }

    /// <summary>
    /// Takes note of a batch whose bytes are in the file at the end of what there was: index entries first, then the new size for readers.
    /// </summary>
    public void Appended(in RecordBatchHeader batch, long position, int indexIntervalBytes)
    {
        Invariant.Check(batch.BaseOffset >= _nextOffset, "A batch was appended below the log's end.");
        NoteForIndexes(batch, position, indexIntervalBytes);
        Volatile.Write(ref _nextOffset, batch.NextOffset);
        Volatile.Write(ref _size, position + batch.SizeInBytes);
    }

    /// <summary>The index work of <see cref="Appended"/>, also done where a tail of the log is walked again at open.</summary>
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

    /// <summary>Says how many bytes lie between the last index entry's batch (included) and the end.</summary>
    public void SetBytesSinceEntry(int bytes) => _bytesSinceEntry = bytes;

    /// <summary>Forgets the largest timestamp, before a walk finds it again.</summary>
    public void ForgetMaxTimestamp() => Volatile.Write(ref _maxTimestamp, NoTimestamp);

    /// <summary>Writes both indexes out, with the last entry of the time index, which is the segment's largest timestamp.</summary>
    public void CompleteIndexes()
    {
        if (Size > 0)
            TimeIndex.AddIfLater(MaxTimestamp, _offsetOfMaxTimestamp);
        Index.WritePending();
        TimeIndex.WritePending();
    }

    /// <summary>The file was cut back to <see cref="Size"/>: until the next flush a crash may bring back what was cut off.</summary>
    public void WasCut() => Volatile.Write(ref _flushedSize, -1);

    /// <summary>Makes the log file durable up to what it held at the call. Never call it again after it threw: the page cache may have lost the bytes.</summary>
    public void FlushLog()
    {
        var size = Size;
        using (var lease = Log.Rent())
            lease.File.Flush();
        if (size > FlushedSize)
            Volatile.Write(ref _flushedSize, size);
    }

    /// <summary>Makes the indexes durable.</summary>
    public void FlushIndexes()
    {
        using (var lease = Index.File.Rent())
            lease.File.Flush();
        using (var lease = TimeIndex.File.Rent())
            lease.File.Flush();
    }

    /// <summary>
    /// Finds the first batch whose last offset is at least <paramref name="offset"/>.
    /// </summary>
    /// <param name="offset">The offset looked for.</param>
    /// <param name="useIndex">Whether to begin where the index says, or at the start.</param>
    /// <param name="gapless">Whether each batch must begin where the one before ended: so in a log that was never compacted.</param>
    /// <param name="position">Where the batch begins.</param>
    /// <param name="header">The batch's header.</param>
    /// <exception cref="DamagedLogException">The log itself is not a sequence of batches.</exception>
    public BatchSearch FindBatch(long offset, bool useIndex, bool gapless, out long position, out RecordBatchHeader header)
    {
        Span<byte> buffer = stackalloc byte[BatchWalker.BufferBytes];
        using var lease = Log.Rent();
        var (lastOffset, from) = (-1L, 0);
        var indexed = useIndex && Index.TryFind(offset, out lastOffset, out from);
        var size = Size;
        var end = NextOffset; // Read after the size: never below the end of what is read.
        var expected = BaseOffset;
        var walker = new BatchWalker(lease.File, from, size, buffer);
        position = -1;
        header = default;
        while (walker.TryMoveNext())
        {
            if (indexed && walker.Position == from)
            {
                if (walker.Header.LastOffset != lastOffset)
                    return BatchSearch.IndexWrong;
            }
            else
            {
                ThrowIfOutOfPlace(walker.Header, walker.Position, expected, end, gapless);
            }
            expected = walker.Header.NextOffset;
            if (walker.Header.LastOffset < offset)
                continue;
            position = walker.Position;
            header = walker.Header;
            return BatchSearch.Found;
        }
        if (indexed && (from < 0 || walker.NextPosition == from || walker.NextPosition < size))
            return BatchSearch.IndexWrong;
        if (walker.NextPosition < size)
            throw new DamagedLogException(Log.Path, walker.NextPosition, walker.Header.NextOffset, "no whole record batch begins there");
        return BatchSearch.NotHere;
    }

    /// <summary>The CRC does not cover the base offset; its neighbours and the segment's bounds do.</summary>
    /// <exception cref="DamagedLogException">The batch is not where it belongs.</exception>
    public void ThrowIfOutOfPlace(in RecordBatchHeader header, long position, long expected, long end, bool gapless)
    {
        if (header.BaseOffset < expected || (gapless && header.BaseOffset != expected) || header.NextOffset > end)
            throw new DamagedLogException(Log.Path, position, expected, $"the batch there says that its base offset is {header.BaseOffset}");
    }

    /// <summary>Takes the segment out of the log: its files get another name, under which open readers still find them.</summary>
    public void Remove()
    {
        _removed = true;
        // Compaction makes segments of one name again and again: the names they die under differ, or a late reader would find the next one's bytes.
        RenameAll($".{Interlocked.Increment(ref _removals)}{LogFiles.Deleted}");
    }

    /// <summary>Gives all files the suffix <paramref name="suffix"/> after their usual one (or none, for empty).</summary>
    public void RenameAll(string suffix)
    {
        // The log last: a segment is there as long as its log is; indexes without a log are removed at open.
        foreach (var (file, own) in AllFiles())
        {
            if (file.Exists())
                file.Rename(own + suffix);
        }
    }

    /// <summary>Deletes the files.</summary>
    public void DeleteFiles()
    {
        foreach (var (file, _) in AllFiles())
            file.Delete();
    }

    /// <summary>Closes what is open and not in use.</summary>
    public void CloseFiles()
    {
        foreach (var (file, _) in AllFiles())
            file.Close();
    }

    private IEnumerable<(CachedFile File, string Suffix)> AllFiles()
    {
        yield return (Index.File, LogFiles.Index);
        yield return (TimeIndex.File, LogFiles.TimeIndex);
        yield return (Log, LogFiles.Log);
    }
}

/// <summary>What a search for a batch came to.</summary>
internal enum BatchSearch
{
    /// <summary>Never returned.</summary>
    Unknown = 0,
    /// <summary>It is there.</summary>
    Found = 1,
    /// <summary>The segment holds no such offset, nor a later one.</summary>
    NotHere = 2,
    /// <summary>The index says what the log does not: search without it.</summary>
    IndexWrong = 3,
}

/// <summary>Bytes on disk that are not what was written there.</summary>
internal sealed class DamagedLogException(string path, long position, long offset, string what, Exception? inner = null)
    : IOException($"'{path}' is damaged at byte {position} (offset {offset}): {what}. Restore the partition's directory from a copy or a "
        + "replica, or move it away to go on without its records; then restart the broker.", inner)
{
    /// <summary>The file.</summary>
    public string Path { get; } = path;
    /// <summary>The batch's first byte.</summary>
    public long Position { get; } = position;
    /// <summary>The offset expected there.</summary>
    public long Offset { get; } = offset;
}
