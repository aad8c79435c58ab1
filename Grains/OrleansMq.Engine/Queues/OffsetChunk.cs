using System.Numerics;

namespace OrleansMq.Queues;

/// <summary>
/// A set of numbers from 0 to 65,535: runs while there are few, a bitmap of 8 KB above <see cref="MostRuns"/>. So one run costs four bytes,
/// and the worst case, every second number, an eighth of a byte for each number of the range.
/// </summary>
internal sealed class OffsetChunk
{
    public const int Size = 1 << 16;
    // A bitmap is as large as 2,048 runs. Runs are inserted in the middle of an array, so the change comes earlier.
    private const int MostRuns = 1_024;
    private const int BitmapCost = 2_048;

    private List<(ushort First, ushort Last)>? _runs = [];
    private ulong[]? _bits;

    /// <summary>The number of members.</summary>
    public int Count { get; private set; }

    /// <summary>The memory, in runs of four bytes.</summary>
    public int Cost => _runs?.Count ?? BitmapCost;

    /// <summary>The highest member of a chunk that has one.</summary>
    public int Max
    {
        get
        {
            if (_bits is null)
                return _runs![^1].Last;
            var word = Array.FindLastIndex(_bits, bits => bits != 0);
            return (word << 6) + BitOperations.Log2(_bits[word]);
        }
    }

    public bool Contains(int value)
    {
        if (_bits is not null)
            return (_bits[value >> 6] & (1UL << value)) != 0;
        var index = RunAtOrAfter(value);
        return index < _runs!.Count && _runs[index].First <= value;
    }

    public void Add(int first, int last)
    {
        if (_bits is not null)
        {
            SetBits(first, last);
            return;
        }
        // All runs that overlap or touch the new one become one with it.
        var index = RunAtOrAfter(first - 1);
        var end = index;
        while (end < _runs!.Count && _runs[end].First <= last + 1)
        {
            Count -= _runs[end].Last - _runs[end].First + 1;
            first = Math.Min(first, _runs[end].First);
            last = Math.Max(last, _runs[end].Last);
            end++;
        }
        Replace(index, end, ((ushort)first, (ushort)last));
        Count += last - first + 1;
        if (_runs.Count > MostRuns)
            ToBitmap();
    }

    public void Remove(int first, int last)
    {
        if (_bits is not null)
        {
            ClearBits(first, last);
            return;
        }
        var index = RunAtOrAfter(first);
        while (index < _runs!.Count && _runs[index].First <= last)
        {
            var run = _runs[index];
            Count -= Math.Min(run.Last, last) - Math.Max(run.First, first) + 1;
            _runs.RemoveAt(index);
            if (run.First < first)
                _runs.Insert(index++, (run.First, (ushort)(first - 1)));
            if (run.Last > last)
                _runs.Insert(index++, ((ushort)(last + 1), run.Last));
        }
        if (_runs.Count > MostRuns)
            ToBitmap();
    }

    /// <summary>Returns the first member at or after a number; <see cref="Size"/> if there is none.</summary>
    public int NextIn(int from)
    {
        if (from >= Size)
            return Size;
        if (_bits is not null)
            return NextBit(from, flip: 0);
        var index = RunAtOrAfter(from);
        return index == _runs!.Count ? Size : Math.Max(_runs[index].First, from);
    }

    /// <summary>Returns the first number at or after a number that is no member; <see cref="Size"/> if there is none.</summary>
    public int NextNotIn(int from)
    {
        if (from >= Size)
            return Size;
        if (_bits is not null)
            return NextBit(from, flip: ulong.MaxValue);
        var index = RunAtOrAfter(from);
        return index < _runs!.Count && _runs[index].First <= from ? _runs[index].Last + 1 : from;
    }

    /// <summary>Returns how many members of a range are no members of another chunk. A whole chunk beside none takes one step.</summary>
    public int CountOutside(OffsetChunk? other, int first, int last)
    {
        if (other is null && first == 0 && last == Size - 1)
            return Count;
        var count = 0;
        for (var start = NextIn(first); start <= last;)
        {
            var end = Math.Min(NextNotIn(start), last + 1);
            for (var outside = other?.NextNotIn(start) ?? start; outside < end;)
            {
                var covered = Math.Min(other?.NextIn(outside) ?? end, end);
                count += covered - outside;
                outside = other?.NextNotIn(covered) ?? end;
            }
            start = NextIn(end);
        }
        return count;
    }

    // The first run that ends at or after the value.
    private int RunAtOrAfter(int value)
    {
        var (low, high) = (0, _runs!.Count);
        while (low < high)
        {
            var middle = (low + high) / 2;
            if (_runs[middle].Last < value)
                low = middle + 1;
            else
                high = middle;
        }
        return low;
    }

    private void Replace(int index, int end, (ushort First, ushort Last) run)
    {
        if (index == end)
        {
            _runs!.Insert(index, run);
            return;
        }
        _runs![index] = run;
        _runs.RemoveRange(index + 1, end - index - 1);
    }

    private void ToBitmap()
    {
        var runs = _runs!;
        (_runs, _bits, Count) = (null, new ulong[Size / 64], 0);
        foreach (var (first, last) in runs)
            SetBits(first, last);
    }

    private void SetBits(int first, int last)
    {
        for (var word = first >> 6; word <= last >> 6; word++)
        {
            var mask = MaskOf(word, first, last);
            Count += BitOperations.PopCount(mask & ~_bits![word]);
            _bits[word] |= mask;
        }
        if (Count == Size)
            (_runs, _bits) = ([(0, Size - 1)], null);
    }

    private void ClearBits(int first, int last)
    {
        for (var word = first >> 6; word <= last >> 6; word++)
        {
            var mask = MaskOf(word, first, last);
            Count -= BitOperations.PopCount(mask & _bits![word]);
            _bits[word] &= ~mask;
        }
        if (Count == 0)
            (_runs, _bits) = ([], null);
    }

    private static ulong MaskOf(int word, int first, int last)
    {
        var mask = ulong.MaxValue;
        if (word == first >> 6)
            mask &= ulong.MaxValue << first;
        if (word == last >> 6)
            mask &= ulong.MaxValue >> (63 - (last & 63));
        return mask;
    }

    private int NextBit(int from, ulong flip)
    {
        var word = from >> 6;
        var bits = (_bits![word] ^ flip) & (ulong.MaxValue << from);
        while (bits == 0)
        {
            if (++word == _bits.Length)
                return Size;
            bits = _bits[word] ^ flip;
        }
        return (word << 6) + BitOperations.TrailingZeroCount(bits);
    }
}
