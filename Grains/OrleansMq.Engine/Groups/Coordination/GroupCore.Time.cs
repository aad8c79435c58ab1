using OrleansMq.Diagnostics;
using OrleansMq.Groups.Classic;
using OrleansMq.Groups.Consumer;

namespace OrleansMq.Groups.Coordination;

public sealed partial class GroupCore
{
    // A wake that comes so much too late says that this coordinator stood still, and heard nobody: half of what the shortest session leaves
    // between two heartbeats.
    private static readonly TimeSpan StallTolerance = TimeSpan.FromSeconds(1);

    // When each member's session ends. In memory only: who takes the group over gives all of them a full one.
    private readonly Dictionary<string, DateTimeOffset> _sessions = new(StringComparer.Ordinal);
    private DateTimeOffset? _wakeAt;
    private DateTimeOffset? _wanted;

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
        var end = _rules.SessionEnd(_now, timeout, isTakenOver);
        _sessions[memberId] = end;
        Want(end);
    }

    private TimeSpan? SessionTimeoutOf(string memberId) =>
        _consumer is { } group ? ConsumerGroupDecision.SessionTimeout(group, memberId, _options)
            : _classic is not null && _classic.State.Members.TryGetValue(memberId, out var member) ? member.SessionTimeout : null;

    private void OnWake()
    {
        if (_isDeposed)
            return;
        var wasStalled = _wakeAt is { } wanted && _now - wanted > StallTolerance;
        (_wakeAt, _wanted) = (null, null);
        ReadAgainIfDue();
        if (!IsRecovering)
        {
            if (wasStalled)
                ExtendAfterStall();
            EndSessions();
            if (_classic is { } group)
                Apply(_rules.OnTime(group, _now));
            OnTimeOfConsumers();
        }
        if (!IsRecovering) // Nothing ends while nobody is heard; afterwards all begin anew.
            WantSessions();
    }

    private void ExtendAfterStall()
    {
        Log(EngineLogLevel.Warning, "its coordinator stood still, and may have missed heartbeats: all members get a full session again.");
        BeginSessions();
        if (_classic is { } group)
            _classic = ClassicGroupDecision.AfterStall(group, _now);
        _consumer = _consumer?.AfterStall(_now);
    }

    private void EndSessions()
    {
        var held = _held.Select(reply => reply.MemberId).ToHashSet(StringComparer.Ordinal);
        foreach (var (memberId, end) in _sessions)
        {
            if (SessionTimeoutOf(memberId) is null)
                _sessions.Remove(memberId);
            else if (end > _now)
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
            Apply(_rules.Remove(group, memberId, _now));
        else if (_consumer is { } consumers)
            Apply(_rules.Remove(consumers, memberId, _topics, _now));
    }

    private void WantSessions()
    {
        foreach (var end in _sessions.Values)
            Want(end);
        foreach (var poll in _polls.Values)
            Want(poll.Until);
    }

    /// <summary>Something is due at that time.</summary>
    private void Want(DateTimeOffset? time)
    {
        if (time is not null && (_wanted is null || time < _wanted))
            _wanted = time;
    }

    /// <summary>Asks to be woken for the first thing that is due. A wake that turns out to be early costs nothing, so heartbeats move no
    /// timer.</summary>
    private void ScheduleWake()
    {
        if (IsRecovering)
            Want(_readAgainAt);
        else
        {
            Want(_classic?.Round.NextTime);
            Want(_consumer?.NextTime);
        }
        if (_isDeposed)
            _wanted = null;
        if (_wanted == _wakeAt)
            return;
        _wakeAt = _wanted;
        _effects.Add(new WakeAt(_wakeAt));
    }
}
