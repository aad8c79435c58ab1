namespace OrleansMq.Log;

/// <summary>
/// Which bytes of a file this process has seen to be whole: it wrote them, or compared their CRCs. Few ranges, since readers go forward;
/// where there are more the smallest is forgotten, and compared again. Thread safe.
/// </summary>
internal sealed class VerifiedRanges
{
    private const int MaxRanges = 16;

    private readonly Lock _lock = new();
    // In order, with gaps between them.
    private readonly List<Range> _ranges = [];

    /// <summary>Whether all of a range was seen to be whole.</summary>
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

    /// <summary>Takes a range in.</summary>
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

    private readonly record struct Range(long From, long To);
}
