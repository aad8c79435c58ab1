using OrleansMq.Diagnostics;
using OrleansMq.Groups.Classic;
using OrleansMq.Groups.Consumer;

namespace OrleansMq.Groups.Coordination;

public sealed partial class GroupCore
{
    // The end of each member's session. In memory only: a coordinator that takes the group over gives all members a full session.
    private readonly Dictionary<string, DateTimeOffset> _sessions = new(StringComparer.Ordinal);

    private void BeginSessions()
    {
        _sessions.Clear();
        foreach (var memberId in MemberIds())
            Touch(memberId, isTakenOver: true);
    }

    private IEnumerable<string> MemberIds() => _consumer?.State.Members.Keys ?? _classic?.State.Members.Keys ?? [];

    /// <summary>A member was heard of: its session begins anew.</summary>
    private void Touch(string memberId, bool isTakenOver = false)
    {
        if (SessionTimeoutOf(memberId) is not { } timeout)
            return;
        var end = _rules.SessionEnd(Now, timeout, isTakenOver);
        _sessions[memberId] = end;
        Want(end);
    }

    private TimeSpan? SessionTimeoutOf(string memberId) =>
        _consumer is { } group ? ConsumerGroupDecision.SessionTimeout(group, memberId, _options)
            : _classic is not null && _classic.State.Members.TryGetValue(memberId, out var member) ? member.SessionTimeout : null;

    /// <inheritdoc/>
    protected override void OnReleased(string waiter) => Touch(waiter);

    /// <inheritdoc/>
    protected override void OnTime(bool wasStalled)
    {
        if (wasStalled)
            ExtendAfterStall();
        EndSessions();
        if (_classic is { } group)
            Apply(_rules.OnTime(group, Now));
        OnTimeOfConsumers();
        WantSessions();
    }

    private void ExtendAfterStall()
    {
        Log(EngineLogLevel.Warning, "its coordinator stood still, and may have missed heartbeats: all members get a full session again.");
        BeginSessions();
        if (_classic is { } group)
            _classic = ClassicGroupDecision.AfterStall(group, Now);
        _consumer = _consumer?.AfterStall(Now);
    }

    private void EndSessions()
    {
        var held = HeldWaiters.ToHashSet(StringComparer.Ordinal);
        foreach (var (memberId, end) in _sessions)
        {
            if (SessionTimeoutOf(memberId) is null)
                _sessions.Remove(memberId);
            else if (end > Now)
                continue;
            else if (IsWaiting(memberId) || held.Contains(memberId))
                Touch(memberId); // It is silent because it waits for us.
            else
                EndSession(memberId);
        }
    }

    private void EndSession(string memberId)
    {
        _sessions.Remove(memberId);
        Log(EngineLogLevel.Information, $"member '{memberId}' was not heard of for its session timeout, and is out.");
        if (_classic is { } group)
            Apply(_rules.Remove(group, memberId, Now));
        else if (_consumer is { } consumers)
            Apply(_rules.Remove(consumers, memberId, _topics, Now));
    }

    private void WantSessions()
    {
        foreach (var end in _sessions.Values)
            Want(end);
        foreach (var poll in _polls.Values)
            Want(poll.Until);
    }

    /// <inheritdoc/>
    protected override void WantNext()
    {
        Want(_classic?.Round.NextTime);
        Want(_consumer?.NextTime);
    }
}
