namespace OrleansMq.Queues;

/// <summary>
/// A number that takes a walk to count. A long walk is made again only after a time in proportion to its steps, so that counting takes a
/// small share of the time, however often it is asked for. Until then the number is that of the walk before.
/// </summary>
internal sealed class PacedCount
{
    /// <summary>Walks of so many steps are made each time.</summary>
    public const long StepsAtOnce = 1_000;
    /// <summary>Longer ones are made again after a millisecond for so many steps, which take some microseconds.</summary>
    public const long StepsPerMs = 200;

    private long _count;
    private long? _countedAt;

    /// <summary>Returns the number.</summary>
    /// <param name="now">The time, in milliseconds.</param>
    /// <param name="steps">The steps that a walk takes now.</param>
    /// <param name="count">The walk.</param>
    public long Of(long now, long steps, Func<long> count)
    {
        if (_countedAt is not { } at || steps <= StepsAtOnce || now - at >= steps / StepsPerMs)
            (_count, _countedAt) = (count(), now);
        return _count;
    }
}
