using System.Buffers.Binary;

namespace OrleansMq.Log;

/// <summary>
/// A segment's <c>.index</c>: the positions of batches, about one entry every <c>index.interval.bytes</c>. Kafka's layout, big-endian:
/// <code>
/// 0 offset i32, of the batch's last record, relative to the segment's base | 4 position i32, of the batch's first byte in .log
/// </code>
/// </summary>
internal sealed class OffsetIndex(CachedFile file, long baseOffset)
    : SparseIndex(file, EntrySize, static entry => BinaryPrimitives.ReadInt32BigEndian(entry))
{
    /// <summary>The size of an entry in bytes.</summary>
    public const int EntrySize = 8;

    /// <summary>Adds the batch that ends with <paramref name="lastOffset"/>, which must exceed all before.</summary>
    public void Add(long lastOffset, int position)
    {
        var entry = Reserve();
        BinaryPrimitives.WriteInt32BigEndian(entry, checked((int)(lastOffset - baseOffset)));
        BinaryPrimitives.WriteInt32BigEndian(entry[4..], position);
        Reveal();
    }

    /// <summary>
    /// Finds the last entry at or before <paramref name="offset"/>: its batch, or a later one, holds the offset. False if there is none:
    /// then search from the segment's start.
    /// </summary>
    public bool TryFind(long offset, out long lastOffset, out int position)
    {
        Span<byte> entry = stackalloc byte[EntrySize];
        var found = TryFindFloor(Math.Min(offset - baseOffset, int.MaxValue), entry);
        lastOffset = found ? baseOffset + BinaryPrimitives.ReadInt32BigEndian(entry) : -1;
        position = found ? BinaryPrimitives.ReadInt32BigEndian(entry[4..]) : 0;
        return found;
    }

    /// <summary>Finds the last entry whose batch begins at or before <paramref name="position"/>.</summary>
    public bool TryFindPosition(long position, out long lastOffset, out int found)
    {
        Span<byte> entry = stackalloc byte[EntrySize];
        var isFound = TryFindFloor(position, entry, static entry => BinaryPrimitives.ReadInt32BigEndian(entry[4..]));
        lastOffset = isFound ? baseOffset + BinaryPrimitives.ReadInt32BigEndian(entry) : -1;
        found = isFound ? BinaryPrimitives.ReadInt32BigEndian(entry[4..]) : -1;
        return isFound;
    }

    /// <summary>Returns the entry at <paramref name="index"/>, from 0.</summary>
    public bool TryGet(int index, out long lastOffset, out int position)
    {
        Span<byte> entry = stackalloc byte[EntrySize];
        var found = index >= 0 && TryRead(index, entry);
        lastOffset = found ? baseOffset + BinaryPrimitives.ReadInt32BigEndian(entry) : -1;
        position = found ? BinaryPrimitives.ReadInt32BigEndian(entry[4..]) : -1;
        return found;
    }

    /// <summary>Returns the last entry.</summary>
    public bool TryGetLast(out long lastOffset, out int position) => TryGet(Count - 1, out lastOffset, out position);
}
