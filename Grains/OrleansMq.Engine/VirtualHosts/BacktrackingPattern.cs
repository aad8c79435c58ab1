using System.Text.RegularExpressions;

namespace OrleansMq.VirtualHosts;

/// <summary>
/// A regular expression that needs backtracking: a match may take very long, and has a time limit. The limit is of wall time, which also
/// passes while the thread does not run. A match that exceeds it is therefore tried again, and only one that exceeds both limits is an
/// overrun. After <see cref="MaxOverruns"/> overruns within <see cref="Period"/> the limits are shorter for <see cref="HurriedFor"/>, which
/// bounds what the matches cost together. Names that are cheap to match keep their answers. Thread safe.
/// </summary>
/// <param name="tryMatch">Tries to match a name within a time. Returns null where it takes longer.</param>
/// <param name="clock">The clock.</param>
internal sealed class BacktrackingPattern(Func<string, TimeSpan, bool?> tryMatch, TimeProvider clock)
{
    /// <summary>The overruns within <see cref="Period"/> that shorten the limits.</summary>
    public const int MaxOverruns = 3;

    /// <summary>The time limit of a match.</summary>
    public static readonly TimeSpan Limit = TimeSpan.FromMilliseconds(20);

    /// <summary>The time limit of the second attempt.</summary>
    public static readonly TimeSpan SecondLimit = TimeSpan.FromMilliseconds(100);

    /// <summary>The time limit of both attempts after too many overruns.</summary>
    public static readonly TimeSpan HurriedLimit = TimeSpan.FromMilliseconds(5);

    /// <summary>The period in which overruns are counted.</summary>
    public static readonly TimeSpan Period = TimeSpan.FromMinutes(1);

    /// <summary>How long the limits are shorter.</summary>
    public static readonly TimeSpan HurriedFor = TimeSpan.FromMinutes(5);

    private readonly Lock _lock = new();
    // The times of the last overruns, the earliest first.
    private readonly Queue<long> _overruns = new(MaxOverruns);
    private long? _hurriedSince;

    /// <summary>Creates a pattern.</summary>
    /// <exception cref="ArgumentException">It is no regular expression.</exception>
    public static BacktrackingPattern Create(string text, RegexOptions options)
    {
        var limited = new[] { Limit, SecondLimit, HurriedLimit }.ToDictionary(static limit => limit,
            limit => new Lazy<Regex>(() => new Regex(text, options, limit)));
        // A pattern that is none fails now.
        _ = limited[Limit].Value;
        return new BacktrackingPattern((name, limit) =>
        {
            try
            {
                return limited[limit].Value.IsMatch(name);
            }
            catch (RegexMatchTimeoutException)
            {
                return null;
            }
        }, TimeProvider.System);
    }

    /// <summary>Whether the limits are shorter now.</summary>
    public bool IsHurried
    {
        get
        {
            lock (_lock)
                return _hurriedSince is { } since && clock.GetElapsedTime(since) < HurriedFor;
        }
    }

    /// <summary>Returns whether it matches a name; null: that takes too long.</summary>
    public bool? TryMatch(string name)
    {
        if (IsHurried)
            return tryMatch(name, HurriedLimit) ?? tryMatch(name, HurriedLimit);
        if (tryMatch(name, Limit) is { } quick)
            return quick;
        var began = clock.GetTimestamp();
        var patient = tryMatch(name, SecondLimit);
        if (patient is null || clock.GetElapsedTime(began) > Limit)
            AddOverrun();
        return patient;
    }

    private void AddOverrun()
    {
        lock (_lock)
        {
            while (_overruns.TryPeek(out var earliest) && clock.GetElapsedTime(earliest) >= Period)
                _overruns.Dequeue();
            _overruns.Enqueue(clock.GetTimestamp());
            if (_overruns.Count < MaxOverruns)
                return;
            _overruns.Clear();
            _hurriedSince = clock.GetTimestamp();
        }
    }
}
