using OrleansMq.Api;
using OrleansMq.Coordination;
using OrleansMq.Groups;
using OrleansMq.Groups.Assignment;
using OrleansMq.Groups.Coordination;

namespace OrleansMq.Tests.Engine.Groups.Consumer;

/// <summary>The consumer protocol in a group's core: long polls, sessions, storage, and takeover.</summary>
public class ConsumerCoreTests
{
    private static readonly DateTimeOffset Start = new(2026, 1, 1, 0, 0, 0, TimeSpan.Zero);
    private static readonly GroupOptions Options = new();

    private readonly ScriptedStore _store = new();
    private readonly TestTopics _topics = new();
    private DateTimeOffset _now = Start;
    private int _lastCore;

    public ConsumerCoreTests() => _topics.Set("t", 4);

    private ScriptedCore Open(bool holdWrites = false) => new(_store, _now, _topics.Topics, Options, ++_lastCore, holdWrites);

    private static ConsumerGroupHeartbeat Joining(string member, string? instance = null) => new()
    {
        GroupId = "g",
        MemberId = member,
        InstanceId = instance,
        SubscribedTopicNames = ["t"],
        RebalanceTimeout = TimeSpan.FromSeconds(30),
        OwnedPartitions = [],
    };

    private static ConsumerGroupHeartbeat Beat(string member, int epoch, IReadOnlyList<TopicPartitions>? owned = null) =>
        new() { GroupId = "g", MemberId = member, MemberEpoch = epoch, OwnedPartitions = owned };

    private static ConsumerGroupHeartbeat Poll(string member, int epoch, int seconds = 5) =>
        Beat(member, epoch) with { MaxWait = TimeSpan.FromSeconds(seconds) };

    private static string Say(ScriptedCore core, ConsumerGroupHeartbeat heartbeat) =>
        Text(core.Ask<ConsumerGroupHeartbeatResult>(heartbeat));

    private static string Text(object reply)
    {
        var result = (ConsumerGroupHeartbeatResult)reply;
        return result.Error != ErrorCode.None ? result.Error.ToString()
            : $"{result.MemberEpoch}{(result.Assignment is { } assignment ? $" [{PartitionsOf(assignment)}]" : "")}";
    }

    private static string PartitionsOf(IReadOnlyList<TopicPartitions> assignment) =>
        string.Join(' ', assignment.SelectMany(topic => topic.Partitions));

    /// <summary>Joins two members that share the topic.</summary>
    private static void Share(ScriptedCore core)
    {
        Assert.Equal("1 [0 1 2 3]", Say(core, Joining("a")));
        Assert.Equal("2 []", Say(core, Joining("b")));
        var told = core.Ask<ConsumerGroupHeartbeatResult>(Beat("a", 1));
        Assert.Equal("1 [0 1]", Text(told));
        Assert.Equal("2", Say(core, Beat("a", 1, told.Assignment)));
        Assert.Equal("2 [2 3]", Say(core, Beat("b", 2)));
    }

    [Fact]
    public void Long_poll_is_answered_by_a_change_only_after_it_is_stored()
    {
        var core = Open();
        Assert.Equal("1 [0 1 2 3]", Say(core, Joining("a")));
        var poll = core.Send(Poll("a", 1));
        Assert.DoesNotContain(poll, core.Replies);
        core.HoldWrites = true;
        var join = core.Send(Joining("b"));
        Assert.DoesNotContain(poll, core.Replies);
        Assert.DoesNotContain(join, core.Replies);
        core.Finish();
        Assert.Equal("2 []", Text(core.Replies[join]));
        Assert.Equal("1 [0 1]", Text(core.Replies[poll]));
    }

    [Fact]
    public void Long_poll_ends_at_its_timeout_or_when_the_next_heartbeat_is_due()
    {
        var core = Open();
        Say(core, Joining("a"));
        var longer = core.Send(Poll("a", 1, seconds: 60));
        core.Advance(TimeSpan.FromSeconds(4.9));
        Assert.DoesNotContain(longer, core.Replies);
        core.Advance(TimeSpan.FromSeconds(0.1));
        Assert.Equal("1", Text(core.Replies[longer]));
        var shorter = core.Send(Poll("a", 1, seconds: 2) with { OwnedPartitions = [] }); // The member has not received its assignment.
        core.Advance(TimeSpan.FromSeconds(2));
        Assert.Equal("1 [0 1 2 3]", Text(core.Replies[shorter]));
        var writes = _store.Writes;
        core.Advance(TimeSpan.FromSeconds(1));
        Assert.Equal(writes, _store.Writes); // Heartbeats write nothing.
    }

    [Fact]
    public void Newer_request_or_leave_ends_the_wait()
    {
        var core = Open();
        Say(core, Joining("a"));
        var first = core.Send(Poll("a", 1));
        var second = core.Send(Poll("a", 1));
        Assert.Equal("CoordinatorNotAvailable", Text(core.Replies[first]));
        Assert.Equal("1", Say(core, Beat("a", 1)));
        Assert.Equal("CoordinatorNotAvailable", Text(core.Replies[second]));
        var third = core.Send(Poll("a", 1));
        core.Execute(new AbandonRequest(third));
        core.Advance(TimeSpan.FromSeconds(4.9));
        Assert.Equal("1", Say(core, Beat("a", 1)));
        core.Advance(TimeSpan.FromSeconds(10));
        Assert.DoesNotContain(third, core.Replies);
    }

    [Fact]
    public void Member_whose_poll_broke_off_is_removed_after_a_grace()
    {
        var core = Open();
        Share(core);
        core.Execute(new AbandonRequest(core.Send(Poll("b", 2))));
        core.Advance(TimeSpan.FromSeconds(4));
        Assert.Equal("2", Say(core, Beat("a", 2)));
        core.Advance(TimeSpan.FromSeconds(1));
        Assert.Equal("3 [0 1 2 3]", Say(core, Beat("a", 2)));
        Assert.Equal("UnknownMemberId", Say(core, Beat("b", 2)));
    }

    [Fact]
    public void Member_that_polls_again_has_its_full_session()
    {
        var core = Open();
        Share(core);
        core.Execute(new AbandonRequest(core.Send(Poll("b", 2))));
        core.Advance(TimeSpan.FromSeconds(4));
        Assert.Equal("2", Say(core, Beat("b", 2)));
        core.Advance(TimeSpan.FromSeconds(40));
        Assert.Equal("2", Say(core, Beat("b", 2)));
    }

    [Fact]
    public void Member_has_the_session_timeout_that_it_asks_for()
    {
        var core = Open();
        Say(core, Joining("a"));
        var joined = core.Ask<ConsumerGroupHeartbeatResult>(Joining("b") with { SessionTimeout = TimeSpan.FromSeconds(9) });
        Assert.Equal((TimeSpan.FromSeconds(9), TimeSpan.FromSeconds(3)), (joined.SessionTimeout, joined.HeartbeatInterval));
        core.Advance(TimeSpan.FromSeconds(9));
        Assert.Equal("UnknownMemberId", Say(core, Beat("b", joined.MemberEpoch)));
        Assert.Equal(ErrorCode.InvalidSessionTimeout,
            core.Ask<ConsumerGroupHeartbeatResult>(Joining("c") with { SessionTimeout = TimeSpan.FromSeconds(5) }).Error);
    }

    [Fact]
    public void Silent_member_is_removed_and_the_other_learns_of_it_at_once()
    {
        var core = Open();
        Share(core);
        long poll = 0;
        for (var beat = 0; beat < 10; beat++)
        {
            poll = core.Send(Poll("a", 2));
            if (beat < 9)
                core.Advance(TimeSpan.FromSeconds(5));
        }
        Assert.Equal("3 [0 1 2 3]", Text(core.Replies[poll]));
        Assert.Equal("UnknownMemberId", Say(core, Beat("b", 2)));
    }

    [Fact]
    public void Members_continue_undisturbed_at_the_next_coordinator()
    {
        Share(Open());
        _now += TimeSpan.FromSeconds(44);
        var next = Open();
        next.Advance(TimeSpan.FromSeconds(44));
        Assert.Equal("2", Say(next, Beat("a", 2)));
        Assert.Equal("2", Say(next, Beat("b", 2)));
        Assert.Equal(GroupState.Stable, next.Ask<GroupDescription>(new DescribeGroup("g")).State);
    }

    [Fact]
    public void Member_that_must_revoke_has_the_full_timeout_at_the_next_coordinator()
    {
        var core = Open();
        Say(core, Joining("a"));
        Say(core, Joining("b"));
        Assert.Equal("1 [0 1]", Say(core, Beat("a", 1)));
        _now += TimeSpan.FromSeconds(29);
        var next = Open();
        next.Advance(TimeSpan.FromSeconds(29));
        Assert.Equal("1", Say(next, Beat("a", 1)));
        Assert.Equal("2", Say(next, Beat("b", 2)));
        next.Advance(TimeSpan.FromSeconds(1));
        Assert.Equal("3 [0 1 2 3]", Say(next, Beat("b", 2)));
        Assert.Equal("UnknownMemberId", Say(next, Beat("a", 1)));
    }

    [Fact]
    public void Fenced_coordinator_fails_its_long_polls_and_assigns_nothing()
    {
        var old = Open();
        Share(old);
        var poll = old.Send(Poll("a", 2));
        var next = Open();
        var late = old.Send(Joining("c"));
        Assert.Equal("CoordinatorNotAvailable", Text(old.Replies[late])); // The write that lost, before the reason is known.
        Assert.Equal("CoordinatorNotAvailable", Text(old.Replies[poll]));
        Assert.Equal("NotCoordinator", Say(old, Beat("a", 2)));
        Assert.Equal("3 []", Say(next, Joining("c")));
    }

    [Fact]
    public void Change_that_could_not_be_stored_is_rolled_back()
    {
        var core = Open();
        Say(core, Joining("a"));
        var poll = core.Send(Poll("a", 1));
        core.HoldWrites = true;
        var join = core.Send(Joining("b"));
        core.HoldWrites = false;
        core.Finish(WriteOutcome.Refused);
        Assert.Equal("CoordinatorNotAvailable", Text(core.Replies[join]));
        Assert.Equal("CoordinatorNotAvailable", Text(core.Replies[poll]));
        Assert.Equal("1", Say(core, Beat("a", 1)));
        Assert.Equal("UnknownMemberId", Say(core, Beat("b", 2)));
    }

    [Fact]
    public void Topic_changes_without_a_coordinator_are_followed_by_the_next_one()
    {
        Assert.Equal("1 [0 1 2 3]", Say(Open(), Joining("a")));
        _topics.Set("t", 5);
        Assert.Equal("2 [0 1 2 3 4]", Say(Open(), Beat("a", 1)));
    }

    [Fact]
    public void Topic_changes_answer_long_polls()
    {
        var core = Open();
        Say(core, Joining("a"));
        var poll = core.Send(Poll("a", 1));
        _topics.Set("other", 1);
        core.Execute(new TopicsChanged(_topics.Topics));
        Assert.DoesNotContain(poll, core.Replies);
        _topics.Set("t", 5);
        core.Execute(new TopicsChanged(_topics.Topics));
        Assert.Equal("2 [0 1 2 3 4]", Text(core.Replies[poll]));
    }

    [Fact]
    public void Members_cannot_join_before_topics_are_known_and_existing_ones_stay()
    {
        Share(Open());
        var core = new ScriptedCore(_store, _now, GroupTopics.Unknown, Options, ++_lastCore);
        Assert.Equal("2", Say(core, Beat("a", 2)));
        Assert.Equal("CoordinatorLoadInProgress", Say(core, Joining("c")));
        Assert.Equal("-1", Say(core, Beat("b", ConsumerGroupHeartbeat.LeaveEpoch)));
        Assert.Equal(GroupState.Assigning, core.Ask<GroupDescription>(new DescribeGroup("g")).State);
        core.Execute(new TopicsChanged(_topics.Topics));
        Assert.Equal("3 [0 1 2 3]", Say(core, Beat("a", 2)));
    }

    [Fact]
    public void Stalled_coordinator_removes_no_member()
    {
        var core = Open();
        Share(core);
        core.Stall(TimeSpan.FromMinutes(2));
        Assert.Equal("2", Say(core, Beat("a", 2)));
        Assert.Equal("2", Say(core, Beat("b", 2)));
    }

    [Fact]
    public void Group_with_members_and_offsets_of_subscribed_topics_are_not_deleted()
    {
        var core = Open();
        Share(core);
        var deleted = core.Ask<OffsetDeleteResult>(new OffsetDelete("g", [new TopicPartition("t", 0)]));
        Assert.Equal(ErrorCode.GroupSubscribedToTopic, Assert.Single(deleted.Partitions).Error);
        Assert.Equal(ErrorCode.NonEmptyGroup, core.Ask<GroupReply>(new DeleteGroup("g")).Error);
        Assert.Equal(new GroupListing("g", "consumer", GroupState.Stable, GroupType.Consumer), core.Ask<GroupListing>(new ListGroup("g")));
    }

    [Fact]
    public void Group_without_members_takes_the_protocol_of_the_next_member_and_keeps_its_epoch()
    {
        var core = Open();
        Share(core);
        Say(core, Beat("a", ConsumerGroupHeartbeat.LeaveEpoch));
        Say(core, Beat("b", ConsumerGroupHeartbeat.LeaveEpoch));
        var empty = core.Ask<GroupDescription>(new DescribeGroup("g"));
        Assert.Equal((GroupType.Consumer, GroupState.Empty, 4), (empty.Type, empty.State, empty.Epoch));
        var joined = core.Ask<JoinGroupResult>(Classic());
        Assert.Equal((ErrorCode.None, 5), (joined.Error, joined.GenerationId));
        Assert.Equal(GroupType.Classic, Open().Ask<GroupDescription>(new DescribeGroup("g")).Type);
    }

    [Fact]
    public void Waiting_classic_members_are_told_to_rejoin_when_their_group_is_upgraded()
    {
        var core = Open();
        var first = core.Ask<JoinGroupResult>(Classic());
        var waiting = core.Send(Classic());
        Assert.DoesNotContain(waiting, core.Replies);
        Assert.Equal("2 [0 3]", Say(core, Joining("b"))); // The other two own nothing and wait for their assignment.
        Assert.Equal(ErrorCode.RebalanceInProgress, ((JoinGroupResult)core.Replies[waiting]).Error);
        Assert.Equal(ErrorCode.RebalanceInProgress, core.Ask<GroupReply>(new Heartbeat("g", 1, first.MemberId)).Error);
        Assert.Equal(GroupType.Consumer, Open().Ask<GroupDescription>(new DescribeGroup("g")).Type);
    }

    [Fact]
    public void Group_of_another_protocol_type_stays_classic()
    {
        var core = Open();
        core.Ask<JoinGroupResult>(Classic() with { ProtocolType = "connect" });
        Assert.Equal("InconsistentGroupProtocol", Say(core, Joining("b")));
        Assert.Equal("UnknownMemberId", Say(core, Beat("b", 3)));
        Assert.Equal(GroupType.Classic, core.Ask<GroupDescription>(new DescribeGroup("g")).Type);
    }

    private static JoinGroup Classic()
    {
        Assert.True(ClientAssignors.TryGet("range", out var assignor));
        return new JoinGroup { GroupId = "g", RequireKnownMemberId = false,
            Protocols = [ClientAssignors.Offer(assignor, assignor.Subscribe(["t"], [], -1))] };
    }
}
