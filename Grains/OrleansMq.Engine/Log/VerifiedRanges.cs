namespace OrleansMq.Log;

/// <summary>
/// The byte ranges of a file that this process has verified, by writing them or by checking their CRCs. There are few, since readers move
/// forward. If there are more, the smallest is dropped and verified again later. Thread safe.
/// </summary>
internal sealed class VerifiedRanges
{
    private const int MaxRanges = 16;

    private readonly Lock _lock = new();
    // In order, with gaps between them.
    private readonly List<Range> _ranges = [];

    /// <summary>Whether all of a range is verified.</summary>
    public bool Contains(long from, long to)
    {
        lock (_lock)
        {
            foreach (var range in _ranges)
            {
                if (range.From <= from)
                {
                    if (range.To >= to)
                        return true;
                }
                else
                {
                    break;
                }
            }
        }
        return false;
    }

    /// <summary>Adds a range.</summary>
    public void Add(long from, long to)
    {
        lock (_lock)
        {
            var first = 0;
            while (first < _ranges.Count && _ranges[first].To < from)
                first++;
            var next = first;
            for (; next < _ranges.Count && _ranges[next].From <= to; next++)
                (from, to) = (Math.Min(from, _ranges[next].From), Math.Max(to, _ranges[next].To));
            _ranges.RemoveRange(first, next - first);
            _ranges.Insert(first, new Range(from, to));
            if (_ranges.Count > MaxRanges)
                _ranges.Remove(_ranges.MinBy(static range => range.To - range.From));
        }
    }

    /// <summary>Removes a range.</summary>
    public void Remove(long from, long to)
    {
        lock (_lock)
        {
            for (var i = _ranges.Count - 1; i >= 0; i--)
            {
                var range = _ranges[i];
                if (range.To <= from || range.From >= to)
                    continue;
                _ranges.RemoveAt(i);
                if (range.To > to)
                    _ranges.Insert(i, range with { From = to });
                if (range.From < from)
                    _ranges.Insert(i, range with { To = from });
            }
        }
    }

    private readonly record struct Range(long From, long To);
}
