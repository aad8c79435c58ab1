namespace OrleansMq.Quotas;

/// <summary>A rate over the last seconds, in <see cref="Samples"/> samples of one second each, of which the last is not complete. Not
/// thread safe.</summary>
internal sealed class SlidingRate
{
    /// <summary>The samples that are kept.</summary>
    public const int Samples = 11;

    private readonly double[] _samples = new double[Samples];
    // The second of the newest sample.
    private long _newest;

    /// <summary>Adds units.</summary>
    /// <param name="now">The time in seconds. It does not go back.</param>
    /// <param name="units">The units.</param>
    public void Add(double now, double units)
    {
        Advance((long)now);
        _samples[_newest % Samples] += units;
    }

    /// <summary>Units a second over the ten complete seconds and the current one.</summary>
    public double PerSecond(double now)
    {
        Advance((long)now);
        return _samples.Sum() / (Samples - 1 + (now - Math.Floor(now)));
    }

    private void Advance(long second)
    {
        if (second <= _newest)
            return;
        for (var next = Math.Max(_newest + 1, second - Samples + 1); next <= second; next++)
            _samples[next % Samples] = 0;
        _newest = second;
    }
}
