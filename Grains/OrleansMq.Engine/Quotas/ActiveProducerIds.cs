namespace OrleansMq.Quotas;

/// <summary>The producer ids that write, each until it has been silent for a while. Not thread safe.</summary>
internal sealed class ActiveProducerIds
{
    /// <summary>How long an id counts after its last batch.</summary>
    public static readonly TimeSpan Silence = TimeSpan.FromHours(1);

    /// <summary>The most ids that a quota may allow: they take memory.</summary>
    public const int Most = 1_000_000;

    private readonly Dictionary<long, double> _lastUses = [];
    // No id falls silent before it.
    private double _nextSilence;

    /// <summary>The ids that count, and those that have fallen silent since the last <see cref="Forget"/>.</summary>
    public int Count => _lastUses.Count;

    /// <summary>Admits a batch's id, if it counts already or there is room for it.</summary>
    /// <param name="id">The id.</param>
    /// <param name="most">How many may count.</param>
    /// <param name="now">The time in seconds. It does not go back.</param>
    public bool Admits(long id, double most, double now)
    {
        if (!_lastUses.ContainsKey(id) && _lastUses.Count >= most)
        {
            Forget(now);
            if (_lastUses.Count >= most)
                return false;
        }
        if (_lastUses.Count == 0)
            _nextSilence = now + Silence.TotalSeconds;
        _lastUses[id] = now;
        return true;
    }

    /// <summary>Forgets the ids that have fallen silent.</summary>
    public void Forget(double now)
    {
        if (now < _nextSilence)
            return;
        var oldest = now;
        foreach (var (id, lastUse) in _lastUses)
        {
            if (lastUse + Silence.TotalSeconds <= now)
                _lastUses.Remove(id);
            else
                oldest = Math.Min(oldest, lastUse);
        }
        _nextSilence = oldest + Silence.TotalSeconds;
    }
}
