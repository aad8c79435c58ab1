using OrleansMq.Grains.Brokers;

namespace OrleansMq.Grains.Coordination;

/// <summary>
/// Finds calls that arrive after their repetition: their caller has gone on, so they must change nothing. Only repetitions are remembered,
/// which are few, for longer than a message is on its way. For one activation: for its turns.
/// </summary>
/// <param name="time">The clock.</param>
internal sealed class LateCalls(TimeProvider time)
{
    // Orleans drops a message that is older than the timeout of its answer, some tens of seconds.
    private static readonly TimeSpan MaxAge = TimeSpan.FromMinutes(5);
    private const int MaxCalls = 1_000;

    private readonly Dictionary<Guid, int> _attempts = [];
    private readonly Queue<(Guid Call, long At)> _order = [];

    /// <summary>Whether a later attempt of the call that begins has come before. One that may be remembered is.</summary>
    public bool IsLate() => CallAttempts.Carried is var (call, attempt) && IsLate(call, attempt);

    /// <inheritdoc cref="IsLate()"/>
    /// <param name="call">The call.</param>
    /// <param name="attempt">The number of its attempt.</param>
    public bool IsLate(Guid call, int attempt)
    {
        if (attempt == 1 && _attempts.Count == 0)
            return false;
        while (_order.TryPeek(out var oldest) && (_order.Count > MaxCalls || time.GetElapsedTime(oldest.At) > MaxAge))
            _attempts.Remove(_order.Dequeue().Call);
        var known = _attempts.GetValueOrDefault(call, 1);
        if (attempt <= known)
            return attempt < known;
        if (_attempts.TryAdd(call, attempt))
            _order.Enqueue((call, time.GetTimestamp()));
        else
            _attempts[call] = attempt;
        return false;
    }
}
