using System.Collections;

namespace OrleansMq.Queues;

/// <summary>
/// A set of offsets in chunks of 65,536, each runs or a bitmap. Its memory follows the number of its runs, never the span of its offsets
/// alone. Enumerates its runs in order, each as long as possible, whatever the chunks are.
/// </summary>
internal sealed class OffsetSet : IEnumerable<OffsetRange>
{
    private readonly List<(long Index, OffsetChunk Chunk)> _chunks = [];

    /// <summary>The number of offsets.</summary>
    public long Count { get; private set; }

    /// <summary>The memory, in runs of four bytes.</summary>
    public long Cost { get; private set; }

    public bool IsEmpty => Count == 0;

    /// <summary>The lowest offset; -1 if the set is empty.</summary>
    public long Min => IsEmpty ? -1 : Offset(_chunks[0].Index, _chunks[0].Chunk.NextIn(0));

    /// <summary>The highest offset; -1 if the set is empty.</summary>
    public long Max => IsEmpty ? -1 : Offset(_chunks[^1].Index, _chunks[^1].Chunk.Max);

    public bool Contains(long offset)
    {
        var position = Find(offset / OffsetChunk.Size);
        return position >= 0 && _chunks[position].Chunk.Contains((int)(offset % OffsetChunk.Size));
    }

    /// <summary>Adds a range.</summary>
    /// <returns>The number of offsets that were not in the set.</returns>
    public long Add(OffsetRange range)
    {
        var before = Count;
        var (index, lastIndex) = (range.First / OffsetChunk.Size, range.Last / OffsetChunk.Size);
        for (var position = Find(index); index <= lastIndex; index++, position++)
        {
            position = position < 0 ? ~position : position;
            if (position == _chunks.Count || _chunks[position].Index != index)
                InsertChunks(position, index, lastIndex);
            Change(position, range, static (chunk, first, last) => chunk.Add(first, last));
        }
        return Count - before;
    }

    public void Add(long offset) => Add(OffsetRange.Of(offset));

    public void Remove(OffsetRange range)
    {
        var position = Find(range.First / OffsetChunk.Size);
        position = position < 0 ? ~position : position;
        var (kept, end) = (position, position);
        for (; end < _chunks.Count && _chunks[end].Index <= range.Last / OffsetChunk.Size; end++)
        {
            Change(end, range, static (chunk, first, last) => chunk.Remove(first, last));
            if (_chunks[end].Chunk.Count > 0)
                _chunks[kept++] = _chunks[end];
        }
        _chunks.RemoveRange(kept, end - kept);
    }

    public void Remove(long offset) => Remove(OffsetRange.Of(offset));

    /// <summary>Removes all offsets below one.</summary>
    public void RemoveBelow(long offset)
    {
        if (!IsEmpty && Min < offset)
            Remove(new OffsetRange(Min, offset - 1));
    }

    /// <summary>Returns the first offset at or after one that is not in the set.</summary>
    public long NextNotIn(long offset)
    {
        var index = offset / OffsetChunk.Size;
        for (var position = Find(index); position >= 0 && position < _chunks.Count && _chunks[position].Index == index; position++, index++)
        {
            var next = _chunks[position].Chunk.NextNotIn((int)(Math.Max(offset, Offset(index, 0)) % OffsetChunk.Size));
            if (next < OffsetChunk.Size)
                return Offset(index, next);
            offset = Offset(index + 1, 0);
        }
        return offset;
    }

    /// <summary>Returns the first offset at or after one that is in the set; <see cref="long.MaxValue"/> if there is none.</summary>
    public long NextIn(long offset)
    {
        var position = Find(offset / OffsetChunk.Size);
        for (position = position < 0 ? ~position : position; position < _chunks.Count; position++)
        {
            var (index, chunk) = _chunks[position];
            var next = chunk.NextIn((int)Math.Max(offset - Offset(index, 0), 0));
            if (next < OffsetChunk.Size)
                return Offset(index, next);
        }
        return long.MaxValue;
    }

    /// <summary>Returns how many offsets of a range are in this set and not in another. A chunk where the other has nothing takes one
    /// step.</summary>
    public long CountOutside(OffsetSet other, OffsetRange range)
    {
        var count = 0L;
        var position = Find(range.First / OffsetChunk.Size);
        for (position = position < 0 ? ~position : position; position < _chunks.Count; position++)
        {
            var (index, chunk) = _chunks[position];
            if (index > range.Last / OffsetChunk.Size)
                break;
            var match = other.Find(index);
            count += chunk.CountOutside(match < 0 ? null : other._chunks[match].Chunk, (int)Math.Max(range.First - Offset(index, 0), 0),
                (int)Math.Min(range.Last - Offset(index, 0), OffsetChunk.Size - 1));
        }
        return count;
    }

    public IEnumerator<OffsetRange> GetEnumerator()
    {
        for (var first = NextIn(0); first != long.MaxValue;)
        {
            var end = NextNotIn(first);
            yield return new OffsetRange(first, end - 1);
            first = NextIn(end);
        }
    }

    IEnumerator IEnumerable.GetEnumerator() => GetEnumerator();

    private void Change(int position, OffsetRange range, Action<OffsetChunk, int, int> change)
    {
        var (index, chunk) = _chunks[position];
        Count -= chunk.Count;
        Cost -= chunk.Cost;
        change(chunk, (int)Math.Max(range.First - Offset(index, 0), 0), (int)Math.Min(range.Last - Offset(index, 0), OffsetChunk.Size - 1));
        Count += chunk.Count;
        Cost += chunk.Cost;
    }

    // All that are missing between two chunks at once: one by one they would move the chunks behind them each time.
    private void InsertChunks(int position, long index, long lastIndex)
    {
        var end = position == _chunks.Count ? lastIndex : Math.Min(lastIndex, _chunks[position].Index - 1);
        var missing = new (long, OffsetChunk)[end - index + 1];
        for (var i = 0; i < missing.Length; i++)
            missing[i] = (index + i, new OffsetChunk());
        _chunks.InsertRange(position, missing);
    }

    private static long Offset(long index, int value) => (index * OffsetChunk.Size) + value;

    // The chunk's position, or the complement of where it would be.
    private int Find(long index)
    {
        var (low, high) = (0, _chunks.Count);
        while (low < high)
        {
            var middle = (low + high) / 2;
            if (_chunks[middle].Index < index)
                low = middle + 1;
            else
                high = middle;
        }
        return low < _chunks.Count && _chunks[low].Index == index ? low : ~low;
    }
}
