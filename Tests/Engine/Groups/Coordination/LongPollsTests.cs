using OrleansMq.Api;
using OrleansMq.Coordination;
using OrleansMq.Diagnostics;
using OrleansMq.Groups;
using OrleansMq.Groups.Consumer;
using OrleansMq.Groups.Coordination;
using OrleansMq.Tests.Engine.Groups.Consumer;

namespace OrleansMq.Tests.Engine.Groups.Coordination;

public sealed class LongPollsTests
{
    private static readonly DateTimeOffset Now = new(2026, 1, 1, 0, 0, 0, TimeSpan.Zero);
    private static readonly GroupOptions Options = new();

    private readonly TestTopics _topics = new();
    private readonly LongPolls _polls = new(Options);
    private ConsumerGroup _group = ConsumerGroup.Create(Now);
    private long _lastRequest;

    public LongPollsTests()
    {
        _topics.Set("t", 4);
        Join("a");
    }

    private void Join(string memberId) => _group = ConsumerGroupDecision.Heartbeat(_group,
        new ConsumerGroupHeartbeat { GroupId = "g", MemberId = memberId, SubscribedTopicNames = ["t"], OwnedPartitions = [] }, "",
        _topics.Topics, Now, Options).Next;

    private DateTimeOffset Add(string memberId, int seconds)
    {
        var heartbeat = new ConsumerGroupHeartbeat { GroupId = "g", MemberId = memberId, MemberEpoch = 1,
            MaxWait = TimeSpan.FromSeconds(seconds) };
        return _polls.Add(memberId, new CoordinatorRequest(++_lastRequest, heartbeat), heartbeat, _group, Now);
    }

    private static ConsumerGroupHeartbeatResult ResultOf(IReadOnlyList<WaitingAnswer> answers) =>
        (ConsumerGroupHeartbeatResult)Assert.Single(answers).Result;

    [Fact]
    public void Wait_ends_after_its_time_and_at_the_latest_with_the_heartbeat_interval()
    {
        Join("b");
        Assert.Null(_polls.NextEnd);
        Assert.Equal(Now + Options.ConsumerHeartbeatInterval, Add("a", seconds: 60));
        Assert.Equal(Now + TimeSpan.FromSeconds(2), Add("b", seconds: 2));
        Assert.Equal(Now + TimeSpan.FromSeconds(2), _polls.NextEnd);
        Assert.Empty(_polls.TakeEnded(_group, Now + TimeSpan.FromSeconds(1)));
        Assert.Equal("b", ResultOf(_polls.TakeEnded(_group, Now + TimeSpan.FromSeconds(2))).MemberId);
        Assert.Equal(["a"], _polls.MemberIds);
    }

    [Fact]
    public void Member_without_news_waits_and_a_new_assignment_is_news()
    {
        Add("a", seconds: 5);
        Assert.True(_polls.MayHaveNews(_group));
        Assert.Empty(_polls.TakeNews(_group));
        Assert.False(_polls.MayHaveNews(_group));

        Join("b");
        Assert.True(_polls.MayHaveNews(_group));
        Assert.Empty(_polls.TakeNews(_group)); // The member has a new target, and its own state is the same.
        _group = ConsumerGroupDecision.Advance(_group, _polls.MemberIds, Now);
        Assert.Equal(2, Assert.Single(ResultOf(_polls.TakeNews(_group)).Assignment!).Partitions.Count);
        Assert.False(_polls.Contains("a"));
        Assert.False(_polls.MayHaveNews(ConsumerGroup.Create(Now)));
    }

    [Fact]
    public void Removed_member_learns_of_its_removal()
    {
        Add("a", seconds: 5);
        _group = ConsumerGroupDecision.Remove(_group, "a", _topics.Topics, Now);
        Assert.Equal(ErrorCode.UnknownMemberId, ResultOf(_polls.TakeNews(_group)).Error);
    }

    [Fact]
    public void Member_has_one_poll_at_a_time()
    {
        Add("a", seconds: 5);
        Assert.Throws<InvariantViolationException>(() => Add("a", seconds: 5));
        Assert.NotNull(_polls.Remove("a"));
        Assert.Null(_polls.Remove("a"));
        Add("a", seconds: 5);
    }

    [Fact]
    public void Abandoned_poll_is_never_answered()
    {
        Add("a", seconds: 5);
        Assert.Equal("a", _polls.Abandon(_lastRequest));
        Assert.Empty(_polls.TakeEnded(_group, DateTimeOffset.MaxValue));
        Assert.Empty(_polls.TakeAll());
    }
}
