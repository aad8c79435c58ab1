using OrleansMq.Groups.Coordination;

namespace OrleansMq.Tests.Engine.Groups.Coordination;

public sealed class MemberSessionsTests
{
    private static readonly DateTimeOffset Start = new(2026, 1, 1, 0, 0, 0, TimeSpan.Zero);
    private static readonly TimeSpan Timeout = TimeSpan.FromSeconds(10);
    private static readonly TimeSpan Tick = TimeSpan.FromTicks(1);

    private readonly HashSet<string> _members = ["a", "b", "c"];
    private readonly HashSet<string> _waiting = [];
    private readonly MemberSessions _sessions;

    public MemberSessionsTests() =>
        _sessions = new MemberSessions(GroupRules.Shipped, memberId => _members.Contains(memberId) ? Timeout : null, Timeout / 5);

    private List<string> TakeEnded(DateTimeOffset now) => [.. _sessions.TakeEnded(now, _waiting.Contains)];

    [Fact]
    public void Silent_member_times_out_at_its_session_end()
    {
        Assert.Null(_sessions.NextEnd);
        Assert.Equal(Start + Timeout, _sessions.Touch("a", Start));
        Assert.Equal(Start + Timeout, _sessions.NextEnd);
        Assert.Empty(TakeEnded(Start + Timeout - Tick));
        Assert.Equal(["a"], TakeEnded(Start + Timeout));
        Assert.Empty(TakeEnded(Start + Timeout));
        Assert.Null(_sessions.NextEnd);
    }

    [Fact]
    public void Touched_member_gets_a_full_session()
    {
        _sessions.Touch("a", Start);
        _sessions.Touch("b", Start);
        Assert.Equal(Start + Timeout * 1.5, _sessions.Touch("a", Start + Timeout / 2));
        Assert.Equal(Start + Timeout, _sessions.NextEnd);
        Assert.Equal(["b"], TakeEnded(Start + Timeout));
        Assert.Equal(Start + Timeout * 1.5, _sessions.NextEnd);
    }

    [Fact]
    public void Shortened_session_never_ends_later_than_before()
    {
        _sessions.Touch("a", Start);
        Assert.Equal(Start + Timeout / 5, _sessions.Shorten("a", Start));
        Assert.Equal(Start + Timeout / 5, _sessions.Shorten("a", Start + Timeout / 10));
        Assert.Equal(Start + Timeout * 1.1, _sessions.Touch("a", Start + Timeout / 10));
        Assert.Equal(Start + Timeout * 1.1, _sessions.Shorten("a", Start + Timeout));
        Assert.Null(_sessions.Shorten("stranger", Start));
    }

    [Fact]
    public void Unknown_member_has_no_session()
    {
        Assert.Null(_sessions.Touch("stranger", Start));
        Assert.Null(_sessions.Touch("", Start));
        Assert.Null(_sessions.NextEnd);
    }

    [Fact]
    public void Waiting_member_gets_a_full_session_instead_of_a_timeout()
    {
        _sessions.Touch("a", Start);
        _sessions.Touch("b", Start);
        _waiting.Add("a");
        Assert.Equal(["b"], TakeEnded(Start + Timeout));
        Assert.Equal(Start + Timeout * 2, _sessions.NextEnd);
        _waiting.Clear();
        Assert.Equal(["a"], TakeEnded(Start + Timeout * 2));
    }

    [Fact]
    public void Session_of_a_former_member_is_dropped_without_a_timeout()
    {
        _sessions.Touch("a", Start);
        _members.Remove("a");
        Assert.Empty(TakeEnded(Start));
        Assert.Null(_sessions.NextEnd);
    }

    [Fact]
    public void Member_removed_by_the_removal_of_another_does_not_time_out()
    {
        _sessions.Touch("a", Start);
        _sessions.Touch("b", Start);
        var ended = new List<string>();
        foreach (var memberId in _sessions.TakeEnded(Start + Timeout, _waiting.Contains))
        {
            ended.Add(memberId);
            _members.Clear();
        }
        Assert.Equal(["a"], ended);
        Assert.Null(_sessions.NextEnd);
    }

    [Fact]
    public void Takeover_gives_full_sessions_to_the_members_and_to_no_other()
    {
        _sessions.Touch("a", Start);
        _sessions.Touch("b", Start);
        _members.Remove("b");
        _sessions.BeginAll(["a", "c"], Start + Timeout);
        Assert.Equal(Start + Timeout * 2, _sessions.NextEnd);
        Assert.Equal(["a", "c"], TakeEnded(Start + Timeout * 2));
    }

    [Fact]
    public void Rules_distinguish_a_takeover_from_a_request()
    {
        var rules = new RecordingRules();
        var sessions = new MemberSessions(rules, _ => Timeout, Timeout);
        sessions.BeginAll(["a"], Start);
        sessions.Touch("a", Start);
        Assert.Equal([true, false], rules.TakenOver);
    }

    private sealed class RecordingRules : GroupRules
    {
        public List<bool> TakenOver { get; } = [];

        public override DateTimeOffset SessionEnd(DateTimeOffset now, TimeSpan timeout, bool isTakenOver)
        {
            TakenOver.Add(isTakenOver);
            return base.SessionEnd(now, timeout, isTakenOver);
        }
    }
}
