namespace OrleansMq.Tests.Chaos.Transactions;

/// <summary>The highest of what was answered before a time. An answer that came later says nothing of a request: both were under way at
/// once.</summary>
internal sealed class KnownBefore
{
    private readonly long[] _answered;
    private readonly long[] _highest;

    /// <param name="answers">When each was answered, and its value.</param>
    public KnownBefore(IEnumerable<(long Answered, long Value)> answers)
    {
        var sorted = answers.OrderBy(static answer => answer.Answered).ToArray();
        _answered = [.. sorted.Select(static answer => answer.Answered)];
        _highest = [.. sorted.Select(static answer => answer.Value)];
        for (var index = 1; index < _highest.Length; index++)
            _highest[index] = Math.Max(_highest[index], _highest[index - 1]);
    }

    /// <summary>Returns the highest value that was answered before the time; null: none was.</summary>
    public long? At(long asked)
    {
        var (first, end) = (0, _answered.Length);
        while (first < end)
        {
            var middle = (first + end) / 2;
            if (_answered[middle] < asked)
                first = middle + 1;
            else
                end = middle;
        }
        return first == 0 ? null : _highest[first - 1];
    }
}
