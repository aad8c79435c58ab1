using System.Buffers.Binary;
using OrleansMq.Records;

namespace OrleansMq.Log;

/// <summary>
/// The aborted transactions whose markers are in a segment, in the order of the markers. It is Kafka's <c>.txnindex</c>: entries of 34
/// bytes, big-endian. In a log with transactions each segment below the recovery point has the file, so that a lost one is noticed.
/// <code>
/// 0 version i16 = 0 | 2 producerId i64 | 10 firstOffset i64 | 18 lastOffset i64 (the marker) | 26 lastStableOffset i64
/// </code>
/// </summary>
/// <remarks>
/// Entries are collected in memory, and written when the offset index is: an append never fails for lack of room here, and readers find
/// the entry before the high watermark passes its marker. What a crash loses is above the recovery point, and recovery finds it again.
/// <para>Changed under the append lock. A lock of its own guards readers.</para>
/// </remarks>
internal sealed class TransactionIndex(CachedFile file)
{
    /// <summary>The bytes of an entry.</summary>
    public const int EntrySize = 34;

    private readonly Lock _lock = new();
    private readonly List<AbortedTransaction> _pending = [];
    private int _written;
    private bool _hasFile;
    private volatile bool _isNew;

    /// <summary>The file.</summary>
    public CachedFile File { get; } = file;

    /// <summary>Whether the file exists.</summary>
    public bool HasFile => _hasFile;

    /// <summary>The number of entries.</summary>
    public int Count
    {
        get
        {
            lock (_lock)
                return _written + _pending.Count;
        }
    }

    /// <summary>Reads a file that exists, and checks all its entries.</summary>
    /// <param name="from">The segment's base offset.</param>
    /// <returns>False if the file is damaged, or has an unfinished entry: then it has those before.</returns>
    public bool Open(long from)
    {
        lock (_lock)
        {
            _hasFile = true;
            _pending.Clear();
            using var lease = File.Rent();
            var length = lease.File.Length;
            _written = (int)(length / EntrySize);
            var before = from - 1;
            for (var i = 0; i < _written; i++)
            {
                if (!TryRead(lease, i, out var entry) || entry.Last <= before)
                {
                    _written = i;
                    return false;
                }
                before = entry.Last;
            }
            return length % EntrySize == 0;
        }
    }

    /// <summary>Adds the transaction of the next marker.</summary>
    public void Add(in AbortedTransaction aborted)
    {
        lock (_lock)
            _pending.Add(aborted);
    }

    /// <summary>Writes to the file what is not in it, without a flush.</summary>
    public void WritePending()
    {
        lock (_lock)
        {
            if (_pending.Count == 0)
                return;
            EnsureFile();
            var bytes = new byte[_pending.Count * EntrySize];
            for (var i = 0; i < _pending.Count; i++)
                Encode(_pending[i], bytes.AsSpan(i * EntrySize));
            using (var lease = File.Rent())
                lease.File.Write(bytes, (long)_written * EntrySize);
            _written += _pending.Count;
            _pending.Clear();
        }
    }

    /// <summary>Creates the file if it does not exist.</summary>
    public void EnsureFile()
    {
        lock (_lock)
        {
            if (_hasFile)
                return;
            File.CreateEmpty();
            (_hasFile, _isNew) = (true, true);
        }
    }

    /// <summary>Removes the entries whose marker is at or above an offset, and what follows them in the file.</summary>
    public void CutTo(long offset)
    {
        lock (_lock)
        {
            _pending.RemoveAll(entry => entry.Last >= offset);
            if (!_hasFile)
                return;
            using var lease = File.Rent();
            var kept = FindFirst(lease, offset);
            if (lease.File.Length != (long)kept * EntrySize)
                lease.File.SetLength((long)kept * EntrySize);
            _written = kept;
        }
    }

    /// <summary>Makes the file durable.</summary>
    /// <returns>Whether the file is new since the last flush: its name is not durable yet.</returns>
    public bool Flush()
    {
        if (!_hasFile)
            return false;
        var isNew = _isNew;
        _isNew = false;
        using var lease = File.Rent();
        FlushOnce.Flush(lease.File);
        return isNew;
    }

    /// <summary>Adds entries to another index, which gets the segment's records.</summary>
    /// <param name="other">The other index.</param>
    /// <param name="isLeftOut">Tells by the offset of its marker whether an entry is left out; null: none is.</param>
    public void AddAllTo(TransactionIndex other, Predicate<long>? isLeftOut)
    {
        var all = new List<AbortedTransaction>();
        Collect(0, long.MaxValue, all);
        if (_hasFile)
            other.EnsureFile();
        foreach (var entry in all)
        {
            if (isLeftOut?.Invoke(entry.Last) != true)
                other.Add(entry);
        }
    }

    /// <summary>Adds the transactions that have records in a range to a list, in the order of their markers.</summary>
    /// <param name="from">The first offset of the range.</param>
    /// <param name="end">The offset after it.</param>
    /// <param name="into">The list.</param>
    /// <returns>Whether no later marker ends a transaction with records in the range.</returns>
    public bool Collect(long from, long end, List<AbortedTransaction> into)
    {
        lock (_lock)
        {
            if (_written > 0)
            {
                using var lease = File.Rent();
                for (var i = FindFirst(lease, from); i < _written; i++)
                {
                    if (!TryRead(lease, i, out var entry))
                        throw new DamagedLogException(File.Path, (long)i * EntrySize, from, "the entry is damaged");
                    if (Collect(entry, from, end, into))
                        return true;
                }
            }
            foreach (var entry in _pending)
            {
                if (Collect(entry, from, end, into))
                    return true;
            }
            return false;
        }
    }

    private static bool Collect(in AbortedTransaction entry, long from, long end, List<AbortedTransaction> into)
    {
        if (entry.Last >= from && entry.First < end)
            into.Add(entry);
        return entry.StableOffset >= end && entry.Last >= from;
    }

    // The first entry whose marker is at or above an offset.
    private int FindFirst(in FileLease lease, long offset)
    {
        var (low, high) = (0, _written);
        while (low < high)
        {
            var middle = low + (high - low) / 2;
            if (TryRead(lease, middle, out var entry) && entry.Last < offset)
                low = middle + 1;
            else
                high = middle;
        }
        return low;
    }

    private static bool TryRead(in FileLease lease, int index, out AbortedTransaction entry)
    {
        Span<byte> bytes = stackalloc byte[EntrySize];
        entry = default;
        if (lease.File.Read(bytes, (long)index * EntrySize) != EntrySize || BinaryPrimitives.ReadInt16BigEndian(bytes) != 0)
            return false;
        entry = new AbortedTransaction(BinaryPrimitives.ReadInt64BigEndian(bytes[2..]), BinaryPrimitives.ReadInt64BigEndian(bytes[10..]),
            BinaryPrimitives.ReadInt64BigEndian(bytes[18..]), BinaryPrimitives.ReadInt64BigEndian(bytes[26..]));
        return entry.ProducerId >= 0 && entry.First >= 0 && entry.Last > entry.First && entry.StableOffset >= 0;
    }

    private static void Encode(in AbortedTransaction entry, Span<byte> bytes)
    {
        BinaryPrimitives.WriteInt16BigEndian(bytes, 0);
        BinaryPrimitives.WriteInt64BigEndian(bytes[2..], entry.ProducerId);
        BinaryPrimitives.WriteInt64BigEndian(bytes[10..], entry.First);
        BinaryPrimitives.WriteInt64BigEndian(bytes[18..], entry.Last);
        BinaryPrimitives.WriteInt64BigEndian(bytes[26..], entry.StableOffset);
    }
}
