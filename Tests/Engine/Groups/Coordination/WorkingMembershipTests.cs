using OrleansMq.Api;
using OrleansMq.Coordination;
using OrleansMq.Groups;
using OrleansMq.Groups.Assignment;
using OrleansMq.Groups.Coordination;
using OrleansMq.Tests.Engine.Groups.Consumer;

namespace OrleansMq.Tests.Engine.Groups.Coordination;

/// <summary>Which protocol forms a group, and which requests change that.</summary>
public sealed class WorkingMembershipTests
{
    private static readonly DateTimeOffset Now = new(2026, 1, 1, 0, 0, 0, TimeSpan.Zero);
    private static readonly CoordinatorClaim Claim = new(1, Guid.NewGuid());
    private static readonly GroupOptions Options = new();

    private readonly TestTopics _topics = new();
    private readonly WorkingMembership _membership;
    private int _changes;

    public WorkingMembershipTests()
    {
        _topics.Set("t", 4);
        _membership = new WorkingMembership(GroupRules.Shipped, Options, () => _changes++);
    }

    private GroupType Type => _membership.ToDocument(Claim).Type;

    /// <summary>Joins a classic member without waiting for its id.</summary>
    private MemberOutcome JoinClassic(string type = "consumer", bool requireKnownMemberId = false)
    {
        Assert.True(ClientAssignors.TryGet("range", out var assignor));
        return _membership.Join(new JoinGroup
        {
            GroupId = "g",
            ClientId = "c",
            ProtocolType = type,
            RequireKnownMemberId = requireKnownMemberId,
            Protocols = [ClientAssignors.Offer(assignor, assignor.Subscribe(["t"], [], -1))],
        }, Guid.NewGuid(), _topics.Topics, Now);
    }

    private ConsumerGroupHeartbeatResult? Beat(string memberId, int epoch, TimeSpan maxWait = default) =>
        (ConsumerGroupHeartbeatResult?)_membership.Heartbeat(new ConsumerGroupHeartbeat
        {
            GroupId = "g",
            MemberId = memberId,
            MemberEpoch = epoch,
            SubscribedTopicNames = epoch == ConsumerGroupHeartbeat.JoinEpoch ? ["t"] : null,
            OwnedPartitions = epoch == ConsumerGroupHeartbeat.JoinEpoch ? [] : null,
            MaxWait = maxWait,
        }, Guid.NewGuid(), _topics.Topics, Now).Reply;

    [Fact]
    public void Requests_without_members_form_no_group()
    {
        Assert.Equal(ErrorCode.UnknownMemberId, ((GroupReply)_membership.Heartbeat(new Heartbeat("g", 1, "m"), Now).Reply!).Error);
        Assert.Equal(ErrorCode.UnknownMemberId,
            ((SyncGroupResult)_membership.Sync(new SyncGroup { GroupId = "g", MemberId = "m" }, Now).Reply!).Error);
        _membership.Leave(new LeaveGroup("g", [new LeavingMember("m")]), _topics.Topics, Now);
        Assert.Equal(ErrorCode.UnknownMemberId, Beat("m", 3)!.Error);
        Assert.Equal((null, null), (_membership.Classic, (object?)_membership.Consumer));
        Assert.Equal((GroupType.Unknown, 0), (Type, _changes));
    }

    [Fact]
    public void Ids_given_out_are_remembered_without_a_change_and_survive_a_read()
    {
        var outcome = JoinClassic(requireKnownMemberId: true);
        Assert.Equal(ErrorCode.MemberIdRequired, ((JoinGroupResult)outcome.Reply!).Error);
        Assert.Equal((true, false), (_membership.HasPendingIds, _membership.HasMembers));
        Assert.Equal((GroupType.Unknown, 0), (Type, _changes));

        JoinClassic();
        _membership.Adopt(_membership.ToDocument(Claim), Now);
        Assert.Equal([outcome.MemberId], _membership.Classic!.Round.Pending.Keys);
    }

    [Fact]
    public void First_classic_join_forms_a_classic_group()
    {
        var outcome = JoinClassic();
        Assert.Null(outcome.Reply);
        Assert.StartsWith("c-", outcome.MemberId, StringComparison.Ordinal);
        Assert.Equal([outcome.MemberId], _membership.MemberIds);
        Assert.Equal(TimeSpan.FromSeconds(45), _membership.SessionTimeoutOf(outcome.MemberId));
        Assert.Equal((GroupType.Classic, 1), (Type, _changes));
    }

    [Fact]
    public void First_consumer_heartbeat_upgrades_a_classic_group_and_the_last_leave_downgrades_it()
    {
        var classic = JoinClassic().MemberId;
        Assert.Equal(ErrorCode.None, Beat("m", ConsumerGroupHeartbeat.JoinEpoch)!.Error);
        Assert.Equal((GroupType.Consumer, 2), (Type, _changes));
        Assert.Null(_membership.Classic);
        Assert.Equal(Options.ConsumerSessionTimeout, _membership.SessionTimeoutOf("m"));

        Beat("m", ConsumerGroupHeartbeat.LeaveEpoch);
        Assert.Equal((GroupType.Classic, 3), (Type, _changes));
        Assert.Null(_membership.Consumer);
        Assert.Equal([classic], _membership.MemberIds);
    }

    [Fact]
    public void Session_end_of_the_last_consumer_downgrades_the_group()
    {
        JoinClassic();
        Beat("m", ConsumerGroupHeartbeat.JoinEpoch);
        _membership.Remove("m", _topics.Topics, Now);
        Assert.Equal((GroupType.Classic, 3), (Type, _changes));
    }

    [Fact]
    public void Refused_upgrade_leaves_the_group_classic()
    {
        JoinClassic(type: "connect");
        Assert.Equal(ErrorCode.InconsistentGroupProtocol, Beat("m", ConsumerGroupHeartbeat.JoinEpoch)!.Error);
        Assert.Equal((GroupType.Classic, 1), (Type, _changes));
        Assert.Null(_membership.SubscribedTopics());
    }

    [Fact]
    public void Refused_first_heartbeat_forms_no_group()
    {
        var refused = _membership.Heartbeat(new ConsumerGroupHeartbeat { GroupId = "g", MemberId = "m" }, Guid.NewGuid(), _topics.Topics,
            Now);
        Assert.Equal(ErrorCode.InvalidRequest, ((ConsumerGroupHeartbeatResult)refused.Reply!).Error);
        Assert.Equal((GroupType.Unknown, 0), (Type, _changes));
    }

    [Fact]
    public void Classic_join_of_an_emptied_consumer_group_continues_its_epochs()
    {
        Beat("m", ConsumerGroupHeartbeat.JoinEpoch);
        Beat("m", ConsumerGroupHeartbeat.LeaveEpoch);
        Assert.Equal((GroupType.Consumer, false), (Type, _membership.HasMembers));
        Assert.Equal(Now, _membership.EmptySince);
        var epoch = _membership.Consumer!.State.GroupEpoch;
        JoinClassic();
        Assert.Equal(GroupType.Classic, Type);
        Assert.Equal(epoch + 1, _membership.Classic!.State.Generation);
    }

    [Fact]
    public void Classic_member_joins_a_consumer_group_at_once()
    {
        Beat("m", ConsumerGroupHeartbeat.JoinEpoch);
        var outcome = JoinClassic();
        Assert.Equal(2, ((JoinGroupResult)outcome.Reply!).GenerationId);
        Assert.Equal((GroupType.Consumer, 2), (Type, _membership.MemberIds.Count()));
    }

    [Fact]
    public void Answer_without_change_is_found_for_steady_heartbeats_only()
    {
        var joined = Beat("m", ConsumerGroupHeartbeat.JoinEpoch)!;
        var changes = _changes;
        object? Find(ICoordinatorRequest request) => _membership.FindAnswerWithoutChange(request, _topics.Topics, Now);
        var steady = new ConsumerGroupHeartbeat { GroupId = "g", MemberId = "m", MemberEpoch = joined.MemberEpoch };
        var answer = (ConsumerGroupHeartbeatResult)Find(steady with { MaxWait = TimeSpan.FromSeconds(5) })!;
        Assert.Equal((ErrorCode.None, joined.MemberEpoch), (answer.Error, answer.MemberEpoch));
        Assert.Null(Find(steady with { MemberEpoch = ConsumerGroupHeartbeat.LeaveEpoch }));
        Assert.Null(Find(steady with { MemberId = "stranger" }));
        Assert.Null(Find(new Heartbeat("g", 1, "m")));
        Assert.Null(Find(new DescribeGroup("g")));
        Assert.Equal(changes, _changes);
    }

    [Fact]
    public void Heartbeat_without_news_waits_where_the_member_permits_it()
    {
        var joined = Beat("m", ConsumerGroupHeartbeat.JoinEpoch)!;
        Assert.Null(Beat("m", joined.MemberEpoch, maxWait: TimeSpan.FromSeconds(5)));
        Assert.NotNull(Beat("m", joined.MemberEpoch));
    }

    [Fact]
    public void Stall_restarts_the_deadlines()
    {
        JoinClassic();
        var deadline = _membership.NextTime;
        Assert.NotNull(deadline);
        _membership.AfterStall(deadline.Value - TimeSpan.FromSeconds(1));
        Assert.Equal(deadline.Value + TimeSpan.FromMinutes(5) - TimeSpan.FromSeconds(1), _membership.NextTime);
        Assert.Equal(1, _changes);
    }

    [Fact]
    public void Topic_change_renews_the_target_of_a_consumer_group()
    {
        Beat("m", ConsumerGroupHeartbeat.JoinEpoch);
        _membership.FollowTopics(_topics.Topics, Now);
        Assert.Equal(1, _changes);
        _topics.Set("t", 5);
        _membership.FollowTopics(_topics.Topics, Now);
        Assert.Equal(2, _changes);
        _membership.Advance(["m"], Now);
        Assert.Equal(5, _membership.Consumer!.State.Members["m"].Assigned.Count);
        Assert.Equal(3, _changes);
    }

    [Theory]
    [InlineData(GroupType.Classic)]
    [InlineData(GroupType.Consumer)]
    public void Adopted_or_forgotten_state_is_no_change(GroupType type)
    {
        if (type == GroupType.Classic)
            JoinClassic();
        else
            Beat("m", ConsumerGroupHeartbeat.JoinEpoch);
        var members = _membership.MemberIds.ToList();
        var stored = _membership.ToDocument(Claim);
        _membership.Forget();
        Assert.Equal((GroupType.Unknown, false), (Type, _membership.HasMembers));
        _membership.Adopt(stored, Now);
        Assert.Equal(type, Type);
        Assert.Equal(members, _membership.MemberIds);
        _membership.Adopt(null, Now);
        Assert.Equal(GroupType.Unknown, Type);
        Assert.Equal(1, _changes);
    }
}
