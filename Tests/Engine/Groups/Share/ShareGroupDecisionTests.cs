using System.Collections.Immutable;
using OrleansMq.Api;
using OrleansMq.Groups;
using OrleansMq.Groups.Share;
using OrleansMq.Tests.Engine.Groups.Consumer;

namespace OrleansMq.Tests.Engine.Groups.Share;

/// <summary>What heartbeats and operators change in a share group.</summary>
public sealed class ShareGroupDecisionTests
{
    private static readonly GroupOptions Options = new() { ShareMaxSize = 2 };

    private readonly TestTopics _topics = new();
    private DateTimeOffset _now = new(2026, 1, 1, 0, 0, 0, TimeSpan.Zero);
    private ShareGroupState _state = new();
    private ImmutableSortedDictionary<string, string> _configs = ImmutableSortedDictionary<string, string>.Empty;

    public ShareGroupDecisionTests() => _topics.Set("t", 4);

    private ShareGroupHeartbeatResult Beat(string memberId, int epoch, params string[]? topics) => Send(new ShareGroupHeartbeat
    {
        GroupId = "g",
        MemberId = memberId,
        MemberEpoch = epoch,
        SubscribedTopicNames = topics is { Length: 0 } ? null : topics,
    });

    private ShareGroupHeartbeatResult Send(ShareGroupHeartbeat request)
    {
        var decision = ShareGroupDecision.Heartbeat(_state, ShareGroupConfig.Parse(_configs), request, Guid.NewGuid(), _topics.Topics, _now,
            Options);
        if (decision.Reply.Error == ErrorCode.None)
            _state = decision.Next;
        else
            Assert.Same(_state, decision.Next);
        return decision.Reply;
    }

    private static int[] Partitions(ShareGroupHeartbeatResult reply) => [.. reply.Assignment!.SelectMany(static topic => topic.Partitions)];

    [Fact]
    public void Members_share_the_partitions_and_learn_of_a_change_with_their_next_heartbeat()
    {
        var first = Beat("a", 0, "t");
        Assert.Equal([0, 1, 2, 3], Partitions(first));
        Assert.Null(Beat("a", first.MemberEpoch).Assignment);
        var second = Beat("b", 0, "t");
        Assert.Equal(2, Partitions(second).Length);
        var moved = Beat("a", first.MemberEpoch);
        Assert.Equal(second.MemberEpoch, moved.MemberEpoch);
        Assert.Equal([0, 1, 2, 3], Partitions(moved).Concat(Partitions(second)).Order());
        Assert.Equal(ErrorCode.GroupMaxSizeReached, Beat("c", 0, "t").Error);
        Assert.Equal(-1, Beat("b", -1).MemberEpoch);
        Assert.Equal([0, 1, 2, 3], Partitions(Beat("a", moved.MemberEpoch)));
    }

    [Fact]
    public void Member_adds_no_more_to_the_document_than_its_bounds_allow()
    {
        string[] unknown = [.. Enumerable.Range(0, 1_001).Select(static number => $"n{number}")];
        Assert.Equal(ErrorCode.InvalidRequest, Beat("a", 0, unknown).Error);
        Assert.Equal(ErrorCode.InvalidRequest, Beat("a", 0, "t", new string('n', 250)).Error);
        Assert.Equal(ErrorCode.InvalidRequest,
            Beat("a", 0, [.. Enumerable.Range(100, 300).Select(static number => $"{number}{new string('n', 240)}")]).Error);
        Assert.Equal(ErrorCode.InvalidRequest, Beat(new string('a', 250), 0, "t").Error);
        Assert.Equal(ErrorCode.None, Beat("a", 0, unknown[1..]).Error);
        // Topics that exist do not count.
        foreach (var name in unknown)
            _topics.Set(name, 1);
        Assert.Equal(ErrorCode.None, Beat("a", 0, unknown).Error);
    }

    [Fact]
    public void Lost_answer_is_repeated_and_older_epochs_are_fenced()
    {
        var first = Beat("a", 0, "t");
        Assert.Equal(Partitions(first), Partitions(Beat("a", 0, "t")));
        Beat("b", 0, "t");
        var second = Beat("a", first.MemberEpoch);
        Assert.Equal(Partitions(second), Partitions(Beat("a", first.MemberEpoch)));
        Beat("b", -1);
        Beat("a", second.MemberEpoch);
        Assert.Equal(ErrorCode.FencedMemberEpoch, Beat("a", first.MemberEpoch).Error);
        Assert.Equal(ErrorCode.FencedMemberEpoch, Beat("a", 99).Error);
        Assert.Equal(ErrorCode.UnknownMemberId, Beat("b", 2).Error);
        Assert.Equal(ErrorCode.UnknownMemberId, Beat("b", -1).Error);
    }

    [Theory]
    [InlineData("", 0, true)]
    [InlineData("a", -2, true)]
    [InlineData("a", 0, false)]
    public void Malformed_heartbeat_is_refused(string memberId, int epoch, bool names) =>
        Assert.Equal(ErrorCode.InvalidRequest, Beat(memberId, epoch, names ? ["t"] : []).Error);

    [Fact]
    public void Topic_keeps_its_incarnation_until_it_is_deleted()
    {
        var epoch = Beat("a", 0, "t", "u").MemberEpoch;
        var first = Assert.Single(_state.Cursors);
        _topics.Set("t", 6);
        _topics.Set("u", 1);
        Assert.Equal(7, Partitions(Beat("a", epoch)).Length);
        Assert.Equal(first, _state.Cursors.Single(cursors => cursors.TopicId == first.TopicId));
        Assert.Equal(2, _state.Cursors.Length);
        Beat("a", -1);
        Assert.Equal((GroupState.Empty, 2), (_state.State, _state.Cursors.Length));
        _topics.Delete("t");
        Beat("a", 0, "t", "u");
        Assert.DoesNotContain(_state.Cursors, cursors => cursors.TopicId == first.TopicId);
    }

    [Fact]
    public void Cursor_moves_to_a_later_incarnation_while_the_group_is_empty()
    {
        Beat("a", 0, "t");
        var before = _state.Cursors[0];
        var move = new AlterShareGroup("g") { Moves = [new ShareCursorMove(before.TopicId, 2, 17)] };
        Assert.Equal(ErrorCode.NonEmptyGroup, Alter(move).Error);
        Beat("a", -1);
        _now += TimeSpan.FromSeconds(1);
        Assert.Equal(ErrorCode.None, Alter(move).Error);
        var reset = _state.Cursors[0].FindReset(2)!;
        Assert.Equal((2, 17L), (reset.Partition, reset.StartOffset));
        Assert.True(reset.Incarnation.CompareTo(before.Incarnation) > 0, "the later incarnation sorts behind the earlier");
        Assert.Null(_state.Cursors[0].FindReset(1));
        Assert.Equal(ErrorCode.InvalidRequest,
            Alter(new AlterShareGroup("g") { Moves = [new ShareCursorMove(before.TopicId, 4, 0)] }).Error);
        Assert.Equal(ErrorCode.None, Alter(new AlterShareGroup("g") { DeletedTopics = [before.TopicId] }).Error);
        Assert.Empty(_state.Cursors);
    }

    [Fact]
    public void Cursor_that_is_moved_under_a_clock_that_is_behind_has_a_later_incarnation()
    {
        Beat("a", 0, "t");
        Beat("a", -1);
        var before = _state.Cursors[0];
        _now -= TimeSpan.FromMinutes(1);
        Assert.Equal(ErrorCode.None, Alter(new AlterShareGroup("g") { Moves = [new ShareCursorMove(before.TopicId, 2, 17)] }).Error);
        Assert.True(_state.Cursors[0].FindReset(2)!.Incarnation.CompareTo(before.Incarnation) > 0, "the move sorts behind the join");
    }

    [Fact]
    public void Configuration_is_checked_before_it_is_kept()
    {
        foreach (var (name, value) in new[] { ("share.record.lock.duration.ms", "999"), ("share.auto.offset.reset", "by_duration:x"),
            ("share.isolation.level", "dirty"), ("retention.ms", "1"), ("share.session.timeout.ms", "5000"),
            ("share.auto.offset.reset", $"by_duration:P{new string('0', 300)}1D") })
        {
            Assert.Equal(ErrorCode.InvalidConfig, Assert.Throws<BrokerException>(() => Set(name, value)).Code);
        }
        Set("share.auto.offset.reset", "by_duration:PT1H");
        Set("share.heartbeat.interval.ms", "2000");
        var config = ShareGroupConfig.Parse(_configs);
        Assert.Equal((ShareStart.ByDuration, TimeSpan.FromHours(1)), (config.Start, config.StartAge));
        Assert.Equal(TimeSpan.FromSeconds(2), Beat("a", 0, "t").HeartbeatInterval);
        Set("share.auto.offset.reset", null);
        Assert.Equal(ShareStart.Latest, ShareGroupConfig.Parse(_configs).Start);
        foreach (var key in ShareGroupConfigKeys.All)
        {
            Assert.Equal(key.Get(config), key.Get(key.Set(ShareGroupConfig.Default, key.Get(config))));
        }
    }

    private void Set(string name, string? value) => _configs = ShareGroupConfig.Change(_configs, [new ShareGroupSetting(name, value)]);

    private GroupReply Alter(AlterShareGroup request)
    {
        var reply = ShareGroupDecision.Move(_state, request, Guid.NewGuid(), _topics.Topics, _now, out var next);
        _state = next!;
        return reply;
    }

    [Fact]
    public void Topic_that_is_new_to_the_group_begins_where_the_join_says()
    {
        var topicId = _topics.Topics.Find("t") is { } topic ? topic.TopicId : default;
        ShareGroupHeartbeat Join(string memberId, params (int Partition, long Offset)[] starts) => new()
        {
            GroupId = "g",
            MemberId = memberId,
            SubscribedTopicNames = ["t"],
            Starts = [.. starts.Select(start => new ShareCursorMove(topicId, start.Partition, start.Offset))],
        };
        var joined = ShareGroupDecision.Heartbeat(_state, ShareGroupConfig.Default,
            Join("a", (2, 7), (0, 5), (0, 6), (4, 1), (1, -1)), Guid.NewGuid(), _topics.Topics, _now, Options).Next;
        var cursors = Assert.Single(joined.Cursors);
        Assert.Equal([(0, 5L), (2, 7L)], cursors.Resets.Select(static reset => (reset.Partition, reset.StartOffset)));
        Assert.All(cursors.Resets, reset => Assert.Equal(cursors.Incarnation, reset.Incarnation));
        Assert.Null(cursors.FindReset(1));
        // Later partitions came after the join: they are read from their first record on.
        Assert.Equal(3, cursors.Partitions);
        // A second member does not move it.
        var second = ShareGroupDecision.Heartbeat(joined, ShareGroupConfig.Default, Join("b", (0, 50)), Guid.NewGuid(),
            _topics.Topics, _now, Options).Next;
        Assert.Equal(joined.Cursors, second.Cursors);
        // It tells where a partition begins that no member has said of before.
        var third = ShareGroupDecision.Heartbeat(joined, ShareGroupConfig.Default, Join("b", (1, 50), (2, 60)), Guid.NewGuid(),
            _topics.Topics, _now, Options).Next;
        Assert.Equal([(0, 5L), (1, 50L), (2, 7L)], third.Cursors[0].Resets.Select(static reset => (reset.Partition, reset.StartOffset)));
        Assert.Equal(cursors.Incarnation, third.Cursors[0].FindReset(1)!.Incarnation);
    }

    [Fact]
    public void Partition_whose_start_is_not_known_is_given_to_no_member_until_one_of_them_tells_it()
    {
        var topicId = _topics.Topics.Find("t")!.Value.TopicId;
        var first = Send(new() { GroupId = "g", MemberId = "a", SubscribedTopicNames = ["t"], StartsFollow = [topicId] });
        Assert.Empty(first.Assignment!);
        Assert.Equal([0, 1, 2, 3], Assert.Single(first.Unstarted).Partitions);
        // One partition does not answer, and keeps nobody from the others.
        var second = Send(new() { GroupId = "g", MemberId = "a", MemberEpoch = first.MemberEpoch,
            Starts = [new(topicId, 3, 9), new(topicId, 0, 5), new(topicId, 1, 0)] });
        Assert.Equal([0, 1, 3], Partitions(second));
        Assert.Equal([2], Assert.Single(second.Unstarted).Partitions);
        // It is asked for again, and its heartbeats change nothing.
        var beat = Beat("a", second.MemberEpoch);
        Assert.Equal((second.MemberEpoch, null, 1), (beat.MemberEpoch, beat.Assignment, beat.Unstarted.Count));
        var other = Send(new() { GroupId = "g", MemberId = "b", SubscribedTopicNames = ["t"], StartsFollow = [topicId] });
        Assert.Equal([2], Assert.Single(other.Unstarted).Partitions);
        var told = Send(new() { GroupId = "g", MemberId = "b", MemberEpoch = other.MemberEpoch, Starts = [new(topicId, 2, 7)] });
        Assert.Empty(told.Unstarted);
        Assert.Equal(other.MemberEpoch + 1, told.MemberEpoch);
        Assert.Equal([0, 1, 2, 3], Partitions(told).Concat(Partitions(Beat("a", second.MemberEpoch))).Order());
        Assert.Equal([(0, 5L), (1, 0L), (2, 7L), (3, 9L)],
            _state.Cursors[0].Resets.Select(static reset => (reset.Partition, reset.StartOffset)));
        // What is known stays.
        var again = Send(new() { GroupId = "g", MemberId = "b", MemberEpoch = told.MemberEpoch, Starts = [new(topicId, 2, 8)] });
        Assert.Equal((told.MemberEpoch, 7L), (again.MemberEpoch, _state.Cursors[0].FindReset(2)!.StartOffset));
    }

    [Fact]
    public void Group_that_begins_at_the_first_record_asks_for_no_start()
    {
        Set("share.auto.offset.reset", "earliest");
        var joined = Send(new() { GroupId = "g", MemberId = "a", SubscribedTopicNames = ["t"],
            StartsFollow = [_topics.Topics.Find("t")!.Value.TopicId] });
        Assert.Empty(joined.Unstarted);
        Assert.Equal([0, 1, 2, 3], Partitions(joined));
    }

    [Fact]
    public void Topic_that_comes_into_a_running_subscription_is_read_from_its_first_record_on()
    {
        var epoch = Beat("a", 0, "u").MemberEpoch;
        _topics.Set("u", 3);
        Beat("a", epoch);
        var cursors = Assert.Single(_state.Cursors);
        Assert.Equal(0, cursors.Partitions);
        Assert.Empty(cursors.Resets);
    }

    [Fact]
    public void Start_in_a_topic_that_the_coordinator_does_not_know_yet_is_to_be_sent_again()
    {
        var decision = ShareGroupDecision.Heartbeat(_state, ShareGroupConfig.Default, new ShareGroupHeartbeat
        {
            GroupId = "g",
            MemberId = "a",
            SubscribedTopicNames = ["t"],
            Starts = [new ShareCursorMove(Guid.NewGuid(), 0, 7)],
        }, Guid.NewGuid(), _topics.Topics, _now, Options);
        Assert.Equal(ErrorCode.CoordinatorLoadInProgress, decision.Reply.Error);
        Assert.Same(_state, decision.Next);
        Assert.Equal(ErrorCode.CoordinatorLoadInProgress,
            Send(new() { GroupId = "g", MemberId = "a", SubscribedTopicNames = ["t"], StartsFollow = [Guid.NewGuid()] }).Error);
    }
}
