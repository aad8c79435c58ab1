namespace OrleansMq.Groups.Coordination;

/// <summary>
/// The sessions of a group's members. A member's session begins when it joins, restarts with each of its requests, and ends after its
/// session timeout. Sessions are kept in memory only: after a takeover or a stall all members get a full session.
/// </summary>
/// <param name="rules">Decide when a session ends.</param>
/// <param name="timeoutOf">Returns the session timeout of a member; null if there is no such member.</param>
/// <param name="grace">How long a member has whose long poll broke off.</param>
internal sealed class MemberSessions(GroupRules rules, Func<string, TimeSpan?> timeoutOf, TimeSpan grace)
{
    private readonly Dictionary<string, DateTimeOffset> _ends = new(StringComparer.Ordinal);

    /// <summary>The earliest end of a session; null for none.</summary>
    public DateTimeOffset? NextEnd => _ends.Count == 0 ? null : _ends.Values.Min();

    /// <summary>Begins a full session for each of these members, and for no other. For a coordinator that may have missed
    /// requests.</summary>
    public void BeginAll(IEnumerable<string> memberIds, DateTimeOffset now)
    {
        _ends.Clear();
        foreach (var memberId in memberIds)
            Begin(memberId, now, isTakenOver: true);
    }

    /// <summary>Restarts the session of a member that sent a request, or was sent an answer.</summary>
    /// <returns>The session's end; null if there is no such member.</returns>
    public DateTimeOffset? Touch(string memberId, DateTimeOffset now) => Begin(memberId, now, isTakenOver: false);

    /// <summary>Shortens the session of a member whose long poll broke off. The next request restarts it in full.</summary>
    /// <returns>The session's end; null if there is no such member.</returns>
    public DateTimeOffset? Shorten(string memberId, DateTimeOffset now)
    {
        if (timeoutOf(memberId) is not { } timeout)
            return null;
        var end = rules.SessionEnd(now, grace < timeout ? grace : timeout, isTakenOver: false);
        return _ends[memberId] = _ends.TryGetValue(memberId, out var known) && known < end ? known : end;
    }

    /// <summary>
    /// Removes the sessions that have ended, and returns their members. Sessions of former members are dropped. A member that waits for an
    /// answer is not silent: its session restarts. The caller removes each member from the group while it enumerates, since the removal of
    /// one member may remove others.
    /// </summary>
    /// <param name="now">The current time.</param>
    /// <param name="isWaiting">Whether a member waits for an answer.</param>
    public IEnumerable<string> TakeEnded(DateTimeOffset now, Func<string, bool> isWaiting)
    {
        foreach (var (memberId, end) in _ends) // The enumeration of a dictionary permits to remove and to replace entries.
        {
            if (timeoutOf(memberId) is null)
            {
                _ends.Remove(memberId);
            }
            else if (end <= now && isWaiting(memberId))
            {
                Touch(memberId, now);
            }
            else if (end <= now)
            {
                _ends.Remove(memberId);
                yield return memberId;
            }
        }
    }

    private DateTimeOffset? Begin(string memberId, DateTimeOffset now, bool isTakenOver)
    {
        if (timeoutOf(memberId) is not { } timeout)
            return null;
        return _ends[memberId] = rules.SessionEnd(now, timeout, isTakenOver);
    }
}
