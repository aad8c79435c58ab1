using System.Buffers.Binary;

namespace OrleansMq.Log;

/// <summary>
/// A segment's <c>.timeindex</c>: the largest timestamp up to an offset. Timestamps and offsets both grow from entry to entry. Kafka's
/// layout, big-endian:
/// <code>
/// 0 timestamp i64, the largest so far, in milliseconds since 1970
/// 8 offset i32, of the last record of the batch with that timestamp, relative to the segment's base
/// </code>
/// The last entry of a sealed segment is its largest timestamp.
/// </summary>
internal sealed class TimeIndex(CachedFile file, long baseOffset)
    : SparseIndex(file, EntrySize, static entry => BinaryPrimitives.ReadInt64BigEndian(entry))
{
    /// <summary>The size of an entry in bytes.</summary>
    public const int EntrySize = 12;

    /// <summary>Adds an entry, unless its timestamp is not above that of the last.</summary>
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
    /// Finds the last entry that is not later than <paramref name="timestamp"/>: no record before the batch that ends with
    /// <paramref name="lastOffset"/> is later. False if there is none: then search from the segment's start.
    /// </summary>
    public bool TryFind(long timestamp, out long found, out long lastOffset)
    {
        Span<byte> entry = stackalloc byte[EntrySize];
        var any = TryFindFloor(timestamp, entry);
        found = any ? BinaryPrimitives.ReadInt64BigEndian(entry) : -1;
        lastOffset = any ? baseOffset + BinaryPrimitives.ReadInt32BigEndian(entry[8..]) : baseOffset;
        return any;
    }

    /// <summary>Returns the entry at <paramref name="index"/>, from 0.</summary>
    public bool TryGet(int index, out long timestamp, out long lastOffset)
    {
        Span<byte> entry = stackalloc byte[EntrySize];
        var found = index >= 0 && TryRead(index, entry);
        timestamp = found ? BinaryPrimitives.ReadInt64BigEndian(entry) : -1;
        lastOffset = found ? baseOffset + BinaryPrimitives.ReadInt32BigEndian(entry[8..]) : -1;
        return found;
    }

    /// <summary>Returns the last entry.</summary>
    public bool TryGetLast(out long timestamp, out long lastOffset) => TryGet(Count - 1, out timestamp, out lastOffset);
}
