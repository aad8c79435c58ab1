using OrleansMq.Diagnostics;

namespace OrleansMq.Log;

/// <summary>
/// A file of fixed-size entries with growing keys, and the entries that are not in the file yet. A sealed segment's index keeps nothing in
/// memory: a lookup is a binary search with positioned reads. The active segment's entries are collected in <c>_pending</c> and written
/// many at a time. An index that is behind its log after a crash is rebuilt from the log.
/// </summary>
/// <remarks>
/// One thread at a time changes an index (under the partition's append lock), while any number of readers search it without a lock. Entries
/// are written into the buffer before the count that reveals them. Moving entries from the buffer to the file raises <c>_version</c> before
/// and after, so that a concurrent reader starts again.
/// </remarks>
internal abstract class SparseIndex(CachedFile file, int entrySize, SparseIndex.EntryKey keyOf)
{
    /// <summary>The number of entries collected before they are written: 256 cover 1 MiB of log at the default interval.</summary>
    private const int PendingEntries = 256;
    /// <summary>The size at which the search reads all remaining bytes at once: one page.</summary>
    private const int BlockBytes = 4096;
    private const int LengthNotKnown = -1;

    private byte[]? _pending;
    private int _pendingCount;
    private int _writtenCount = LengthNotKnown;
    private int _version;

    /// <summary>The index file.</summary>
    public CachedFile File { get; } = file;

    /// <summary>The number of entries in the file and in the buffer.</summary>
    public int Count => Written() + Volatile.Read(ref _pendingCount);

    /// <summary>The size of its buffer in memory, in bytes.</summary>
    public int BufferBytes => _pending?.Length ?? 0;

    /// <summary>Reads the key of an entry, by which entries are ordered.</summary>
    public delegate long EntryKey(ReadOnlySpan<byte> entry);

    /// <summary>Records that a new index's file is empty.</summary>
    public void Created() => Volatile.Write(ref _writtenCount, 0);

    /// <summary>Returns room for one more entry at the end: fill it, then call <see cref="Reveal"/>.</summary>
    protected Span<byte> Reserve()
    {
        var buffer = _pending ??= new byte[PendingEntries * entrySize];
        if ((_pendingCount + 1) * entrySize > buffer.Length)
            buffer = MakeRoom(buffer);
        return buffer.AsSpan(_pendingCount * entrySize, entrySize);
    }

    // The entry's batch is already in the log, so failing to write an index (a full disk) must not fail the append.
    private byte[] MakeRoom(byte[] buffer)
    {
        try
        {
            WritePending();
        }
        catch (IOException)
        {
            Array.Resize(ref buffer, buffer.Length * 2);
            _pending = buffer;
        }
        return buffer;
    }

    /// <summary>Makes the filled entry visible to readers.</summary>
    protected void Reveal() => Volatile.Write(ref _pendingCount, _pendingCount + 1);

    /// <summary>Writes the buffer to the file, without a flush, since an index can be rebuilt.</summary>
    public void WritePending()
    {
        var count = _pendingCount;
        if (count == 0)
            return;
        var written = Written();
        using (var lease = File.Rent())
            lease.File.Write(_pending.AsSpan(0, count * entrySize), (long)written * entrySize);
        BeginMove();
        _writtenCount = written + count;
        _pendingCount = 0;
        EndMove();
    }

    /// <summary>Releases the buffer; call <see cref="WritePending"/> before.</summary>
    public void ReleaseBuffer()
    {
        Invariant.Check(_pendingCount == 0, "An index gave up a buffer that was not written.");
        _pending = null;
    }

    /// <summary>Removes all entries after the first <paramref name="count"/>, also in the file.</summary>
    public void CutTo(int count)
    {
        WritePending();
        count = Math.Min(count, Written());
        using (var lease = File.Rent())
        {
            // A crash may also have left a partial entry.
            if (lease.File.Length == (long)count * entrySize)
                return;
            lease.File.SetLength((long)count * entrySize);
        }
        BeginMove();
        _writtenCount = count;
        EndMove();
    }

    /// <summary>Discards what is known of the file, after another one has replaced it.</summary>
    public void Reload()
    {
        BeginMove();
        _pendingCount = 0;
        _writtenCount = LengthNotKnown;
        EndMove();
    }

    /// <summary>Empties the index, whatever its file contains; creates a missing file.</summary>
    public void Clear()
    {
        if (File.Exists())
        {
            using var lease = File.Rent();
            lease.File.SetLength(0);
        }
        else
        {
            File.Close();
            File.CreateEmpty();
        }
        BeginMove();
        _pendingCount = 0;
        _writtenCount = 0;
        EndMove();
    }

    /// <summary>Copies the last entry whose key is at most <paramref name="key"/>; false if there is none.</summary>
    protected bool TryFindFloor(long key, Span<byte> entry) => TryFindFloor(key, entry, keyOf);

    /// <summary>Does the same for another value that grows with the entries.</summary>
    protected bool TryFindFloor(long key, Span<byte> entry, EntryKey keyOf)
    {
        while (true)
        {
            var version = Volatile.Read(ref _version);
            if ((version & 1) == 0)
            {
                var found = FindFloor(key, entry, keyOf);
                Interlocked.MemoryBarrier();
                if (Volatile.Read(ref _version) == version)
                    return found;
            }
            Thread.Yield();
        }
    }

    /// <summary>Copies the entry at <paramref name="index"/>, from 0.</summary>
    protected bool TryRead(int index, Span<byte> entry)
    {
        while (true)
        {
            var version = Volatile.Read(ref _version);
            if ((version & 1) == 0)
            {
                var found = ReadAt(index, entry);
                Interlocked.MemoryBarrier();
                if (Volatile.Read(ref _version) == version)
                    return found;
            }
            Thread.Yield();
        }
    }

    private bool ReadAt(int index, Span<byte> entry)
    {
        var written = Written();
        if (index < written)
        {
            using var lease = File.Rent();
            return lease.File.Read(entry, (long)index * entrySize) == entrySize;
        }
        var pending = _pending;
        var place = index - written;
        if (pending is null || place < 0 || place >= Volatile.Read(ref _pendingCount))
            return false;
        pending.AsSpan(place * entrySize, entrySize).CopyTo(entry);
        return true;
    }

    private bool FindFloor(long key, Span<byte> entry, EntryKey keyOf)
    {
        var count = Volatile.Read(ref _pendingCount);
        if (count > 0 && _pending is { } pending && count * entrySize <= pending.Length)
        {
            var place = FloorIn(pending.AsSpan(0, count * entrySize), key, keyOf);
            if (place >= 0)
            {
                pending.AsSpan(place * entrySize, entrySize).CopyTo(entry);
                return true;
            }
        }
        return FindFloorInFile(key, entry, keyOf);
    }

    private bool FindFloorInFile(long key, Span<byte> entry, EntryKey keyOf)
    {
        var high = Written();
        if (high == 0)
            return false;
        using var lease = File.Rent();
        Span<byte> block = stackalloc byte[BlockBytes];
        var low = 0;
        // Invariant: the entry is in [low, high), or there is none (then low stays 0).
        while ((high - low) * entrySize > BlockBytes)
        {
            var middle = low + (high - low) / 2;
            if (lease.File.Read(block[..entrySize], (long)middle * entrySize) < entrySize)
                return false;
            if (keyOf(block[..entrySize]) <= key)
                low = middle;
            else
                high = middle;
        }
        var bytes = (high - low) * entrySize;
        var read = lease.File.Read(block[..bytes], (long)low * entrySize);
        var place = FloorIn(block[..(read - read % entrySize)], key, keyOf);
        if (place < 0)
            return false;
        block.Slice(place * entrySize, entrySize).CopyTo(entry);
        return true;
    }

    private int FloorIn(ReadOnlySpan<byte> entries, long key, EntryKey keyOf)
    {
        int low = 0, high = entries.Length / entrySize;
        while (low < high)
        {
            var middle = low + (high - low) / 2;
            if (keyOf(entries[(middle * entrySize)..]) <= key)
                low = middle + 1;
            else
                high = middle;
        }
        return low - 1;
    }

    private int Written()
    {
        var written = Volatile.Read(ref _writtenCount);
        if (written == LengthNotKnown)
        {
            // The appender may have set a newer count before a reader gets here.
            var counted = (int)(File.GetLength() / entrySize);
            var known = Interlocked.CompareExchange(ref _writtenCount, counted, LengthNotKnown);
            written = known == LengthNotKnown ? counted : known;
        }
        return written;
    }

    private void BeginMove()
    {
        Volatile.Write(ref _version, _version + 1);
        Interlocked.MemoryBarrier();
    }

    private void EndMove()
    {
        Interlocked.MemoryBarrier();
        Volatile.Write(ref _version, _version + 1);
    }
}
