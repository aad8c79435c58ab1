using OrleansMq.Diagnostics;

namespace OrleansMq.Access;

/// <summary>
/// The lines about operations that are refused, or would be if rules were enforced, for who audits a broker: one a minute for each that is
/// the same, twenty a minute for a principal and a hundred for all, since a client could cause as many as it likes. The metrics count all.
/// Thread safe.
/// </summary>
/// <param name="log">Where the lines go.</param>
/// <param name="clock">The clock.</param>
internal sealed class DenialLog(EngineLog log, TimeProvider clock)
{
    private const int MaxLines = 100;
    // One principal does not take the lines of all others.
    private const int MaxLinesOfPrincipal = 20;
    private static readonly TimeSpan Interval = TimeSpan.FromMinutes(1);

    private readonly Lock _lock = new();
    private readonly HashSet<(string Principal, string Host, AccessOperation Operation, ResourceType Type, string Name)> _written = [];
    private readonly Dictionary<string, int> _linesOf = new(StringComparer.Ordinal);
    private long _since = clock.GetTimestamp();
    private long _omitted;

    /// <summary>Writes that an operation was refused.</summary>
    /// <param name="session">The caller.</param>
    /// <param name="operation">The operation.</param>
    /// <param name="type">The kind of resource.</param>
    /// <param name="name">The resource's name.</param>
    /// <param name="isAllowed">Whether it was allowed nevertheless, since authorization only warns.</param>
    public void Write(BrokerSession session, AccessOperation operation, ResourceType type, string name, bool isAllowed = false)
    {
        long omitted;
        lock (_lock)
        {
            omitted = Renew();
            var line = (session.Principal, session.Host, operation, type, name);
            if (_written.Contains(line))
                return;
            if (_written.Count == MaxLines || _linesOf.GetValueOrDefault(session.Principal) == MaxLinesOfPrincipal)
            {
                _omitted++;
                return;
            }
            _written.Add(line);
            _linesOf[session.Principal] = _linesOf.GetValueOrDefault(session.Principal) + 1;
        }
        if (omitted > 0)
            log.Write(EngineLogLevel.Warning, $"{omitted} more such operations were not logged: there were over {MaxLines} a "
                + $"minute, or over {MaxLinesOfPrincipal} of one principal.");
        log.Write(EngineLogLevel.Warning, (isAllowed ? "Allowed, since authorization only warns: " : "Refused: ")
            + $"{LoggedText.Of(session.Principal)} at '{LoggedText.Of(session.Host)}' "
            + $"({session.Protocol}, client '{LoggedText.Of(session.ClientId)}') may not {operation} {type} '{LoggedText.Of(name)}'.");
    }

    // Returns how many lines the minute before left out, where a new one begins.
    private long Renew()
    {
        if (clock.GetElapsedTime(_since) < Interval)
            return 0;
        _since = clock.GetTimestamp();
        _written.Clear();
        _linesOf.Clear();
        var omitted = _omitted;
        _omitted = 0;
        return omitted;
    }
}
