namespace OrleansMq.Quotas;

/// <summary>
/// Units that arrive at a rate and are taken. Those of <see cref="Window"/> seconds are saved, so that an idle client may use as much at
/// once. More than there is may be taken: the debt is repaid at the same rate. That is the time by which Kafka throttles a client whose
/// rate over the window is above the quota. What would be owed for longer than <see cref="MostDebt"/> is forgiven. Not thread safe.
/// </summary>
internal struct TokenBucket
{
    /// <summary>The seconds of a rate that are saved: the ten whole seconds of Kafka's eleven samples.</summary>
    public const double Window = 10;

    /// <summary>The most seconds of a rate that are owed: who shares a rate with others cannot lock them out for longer.</summary>
    public const double MostDebt = 60;

    private double _rate;
    private double _tokens;

    /// <param name="rate">Units a second, above 0. The bucket is full.</param>
    public TokenBucket(double rate) => (_rate, _tokens) = (rate, rate * Window);

    /// <summary>Units a second. What was saved, or is owed, beyond what a lower rate allows is lost.</summary>
    public double Rate
    {
        readonly get => _rate;
        set => (_rate, _tokens) = (value, Math.Clamp(_tokens, -value * MostDebt, value * Window));
    }

    /// <summary>The units that are there; negative: a debt.</summary>
    public readonly double Tokens => _tokens;

    /// <summary>The most units that are saved.</summary>
    public readonly double Capacity => _rate * Window;

    /// <summary>The seconds until the debt is repaid; 0 without one.</summary>
    public readonly double Wait => _tokens < 0 ? -_tokens / _rate : 0;

    /// <summary>Adds what has arrived.</summary>
    /// <param name="seconds">The time since the last call.</param>
    public void Pass(double seconds) => _tokens = Math.Min(_tokens + Math.Max(seconds, 0) * _rate, Capacity);

    /// <summary>Takes units, also more than there are.</summary>
    public void Take(double units) => _tokens = Math.Max(_tokens - units, -_rate * MostDebt);

    /// <summary>Gives units back that were taken.</summary>
    public void TakeBack(double units) => _tokens = Math.Min(_tokens + units, Capacity);
}
