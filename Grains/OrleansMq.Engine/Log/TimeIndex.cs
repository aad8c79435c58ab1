using System.Buffers.Binary;

namespace OrleansMq.Log;

/// <summary>
/// A segment's <c>.timeindex</c>: how late the records up to an offset are. Timestamps and offsets both grow from entry to entry. Kafka's
/// layout, big-endian:
/// <code>
/// 0 timestamp i64, the largest so far, in milliseconds since 1970 | 8 offset i32, of the last record of the batch with that timestamp,
/// relative
/// </code>
/// The last entry of a sealed segment is its largest timestamp.
/// </summary>
internal sealed class TimeIndex(CachedFile file, long baseOffset)
    : SparseIndex(file, EntrySize, static entry => BinaryPrimitives.ReadInt64BigEndian(entry))
{
    /// <summary>Bytes of an entry.</summary>
    public const int EntrySize = 12;

    /// <summary>Adds an entry, unless its timestamp is not later than that of the last.</summary>
    public void AddIfLater(long timestamp, long lastOffset)
    {
        if (timestamp < 0 || (TryGetLast(out var last, out _) && timestamp <= last))
            return;
        var entry = Reserve();
        BinaryPrimitives.WriteInt64BigEndian(entry, timestamp);
        BinaryPrimitives.WriteInt32BigEndian(entry[8..], checked((int)(lastOffset - baseOffset)));
        Reveal();
    }

    /// <summary>
    /// The last entry that is not later than <paramref name="timestamp"/>: no record before the batch that ends with
    /// <paramref name="lastOffset"/> is later.
    /// False when there is none: then look from the segment's start.
    /// </summary>
    public bool TryFind(long timestamp, out long found, out long lastOffset)
    {
        Span<byte> entry = stackalloc byte[EntrySize];
        var any = TryFindFloor(timestamp, entry);
        found = any ? BinaryPrimitives.ReadInt64BigEndian(entry) : -1;
        lastOffset = any ? baseOffset + BinaryPrimitives.ReadInt32BigEndian(entry[8..]) : baseOffset;
        return any;
    }

    /// <summary>Entry number <paramref name="index"/>, from 0.</summary>
    public bool TryGet(int index, out long timestamp, out long lastOffset)
    {
        Span<byte> entry = stackalloc byte[EntrySize];
        var found = index >= 0 && TryRead(index, entry);
        timestamp = found ? BinaryPrimitives.ReadInt64BigEndian(entry) : -1;
        lastOffset = found ? baseOffset + BinaryPrimitives.ReadInt32BigEndian(entry[8..]) : -1;
        return found;
    }

    /// <summary>The last entry.</summary>
    public bool TryGetLast(out long timestamp, out long lastOffset) => TryGet(Count - 1, out timestamp, out lastOffset);
}
