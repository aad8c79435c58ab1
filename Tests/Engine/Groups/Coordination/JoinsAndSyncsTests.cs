using OrleansMq.Api;
using OrleansMq.Coordination;
using OrleansMq.Groups;
using OrleansMq.Groups.Classic;
using OrleansMq.Groups.Coordination;

namespace OrleansMq.Tests.Engine.Groups.Coordination;

public sealed class JoinsAndSyncsTests
{
    private static readonly DateTimeOffset Now = new(2026, 1, 1, 0, 0, 0, TimeSpan.Zero);

    // A first generation that waits for more members.
    private static readonly GroupOptions Options = new() { InitialRebalanceDelay = TimeSpan.FromSeconds(3) };

    private readonly CountingRules _rules = new();
    private readonly JoinsAndSyncs _waiting;
    private ClassicGroup _group = ClassicGroup.Create(Now);
    private long _lastRequest;

    public JoinsAndSyncsTests() => _waiting = new JoinsAndSyncs(_rules);

    /// <summary>Adds a member to the group, and its join to those that wait.</summary>
    private long Join(string memberId)
    {
        var join = new JoinGroup { GroupId = "g", ClientId = memberId, RequireKnownMemberId = false,
            Protocols = [new GroupProtocol("range", default)] };
        var decision = ClassicGroupDecision.Join(_group, join, memberId, Now, Options);
        Assert.Null(decision.Reply);
        _group = decision.Next;
        Assert.Null(_waiting.AddJoin(memberId, new CoordinatorRequest(++_lastRequest, join), join));
        return _lastRequest;
    }

    private long Sync(string memberId, params MemberAssignment[] assignments)
    {
        var sync = new SyncGroup { GroupId = "g", MemberId = memberId, GenerationId = 1, Assignments = assignments };
        var decision = ClassicGroupDecision.Sync(_group, sync, Now);
        _group = decision.Next;
        if (decision.Reply is null)
            Assert.Null(_waiting.AddSync(memberId, new CoordinatorRequest(++_lastRequest, sync), sync));
        return _lastRequest;
    }

    /// <summary>Forms the first generation.</summary>
    private void Form() => _group = ClassicGroupDecision.OnTime(_group, Now + TimeSpan.FromMinutes(10));

    private List<(long, string, ErrorCode)> Answers() => [.. _waiting.TakeAnswered(_group).Select(answer => (answer.Request.RequestId,
        answer.MemberId, answer.Result is JoinGroupResult join ? join.Error : ((SyncGroupResult)answer.Result).Error))];

    [Fact]
    public void Joins_wait_until_the_generation_is_formed()
    {
        var (first, second) = (Join("a"), Join("b"));
        Assert.Empty(Answers());
        Form();
        Assert.Equal([(first, "a", ErrorCode.None), (second, "b", ErrorCode.None)], Answers());
        Assert.False(_waiting.Contains("a"));
    }

    [Fact]
    public void Syncs_wait_until_the_leader_assigns()
    {
        Join("a");
        Join("b");
        Form();
        Answers();
        var sync = Sync("b");
        Assert.Empty(Answers());
        Assert.True(_waiting.Contains("b"));
        Sync("a", new MemberAssignment("b", new byte[] { 1 }));
        Assert.Equal([(sync, "b", ErrorCode.None)], Answers());
    }

    [Fact]
    public void Join_of_a_removed_member_is_refused()
    {
        Join("a");
        var join = Join("b");
        Assert.Empty(Answers());
        _group = ClassicGroupDecision.Remove(_group, "b", Now);
        Assert.Equal([(join, "b", ErrorCode.UnknownMemberId)], Answers());
        Assert.True(_waiting.Contains("a"));
    }

    [Fact]
    public void Unchanged_state_asks_for_no_answers()
    {
        Join("a");
        Answers();
        var asked = _rules.Joins;
        _group = _group with { Round = _group.Round with { Deadline = Now } };
        Answers();
        Assert.Equal(asked, _rules.Joins);
    }

    [Fact]
    public void Members_that_only_join_ask_for_no_answers_to_earlier_joins()
    {
        Join("a");
        Answers();
        var asked = _rules.Joins;
        for (var member = 0; member < 100; member++)
        {
            Join($"m{member}");
            Answers();
        }
        Assert.Equal(asked, _rules.Joins);
        Form();
        Assert.Equal(101, Answers().Count);
    }

    [Fact]
    public void Taken_requests_are_joins_then_syncs()
    {
        Join("a");
        Join("b");
        Form();
        Answers();
        var sync = Sync("b");
        var rejoin = new JoinGroup { GroupId = "g" };
        _waiting.AddJoin("a", new CoordinatorRequest(100, rejoin), rejoin);
        Assert.Equal([100, sync], _waiting.TakeAll().Select(request => request.RequestId));
        Assert.Empty(_waiting.TakeAll());
    }

    [Fact]
    public void Abandoned_join_or_sync_returns_its_member()
    {
        Join("a");
        Join("b");
        Form();
        Answers();
        var sync = Sync("b");
        var rejoin = new JoinGroup { GroupId = "g" };
        _waiting.AddJoin("a", new CoordinatorRequest(100, rejoin), rejoin);
        Assert.Equal("a", _waiting.Abandon(100));
        Assert.Equal("b", _waiting.Abandon(sync));
        Assert.Null(_waiting.Abandon(sync));
    }

    private sealed class CountingRules : GroupRules
    {
        public int Joins { get; private set; }

        public override JoinGroupResult? AnswerJoin(ClassicGroup group, string memberId, string? instanceId)
        {
            Joins++;
            return base.AnswerJoin(group, memberId, instanceId);
        }
    }
}
