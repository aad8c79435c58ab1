using OrleansMq.Api;
using OrleansMq.Groups;
using OrleansMq.Groups.Consumer;

namespace OrleansMq.Tests.Engine.Groups.Consumer;

/// <summary>Numbered heartbeats may overtake each other, be duplicated, and lose their answers.</summary>
public sealed class HeartbeatOrderTests
{
    private static readonly DateTimeOffset Now = DateTimeOffset.UnixEpoch;

    private readonly TestTopics _topics = new();
    private ConsumerGroup _group = ConsumerGroup.Create(Now);

    public HeartbeatOrderTests() => _topics.Set("t", 2);

    private ConsumerGroupHeartbeatResult? Beat(string member, long sequence, int epoch, IReadOnlyList<TopicPartitions>? owned = null,
        bool isRepeated = false, TimeSpan wait = default, string? instance = null)
    {
        var decision = ConsumerGroupDecision.Heartbeat(_group, new ConsumerGroupHeartbeat
        {
            GroupId = "g",
            MemberId = member,
            MemberEpoch = epoch,
            Sequence = sequence,
            IsRepeated = isRepeated,
            InstanceId = instance,
            MaxWait = wait,
            SubscribedTopicNames = epoch == 0 ? ["t"] : null,
            OwnedPartitions = owned ?? (epoch == 0 ? [] : null),
        }, "", _topics.Topics, Now, new GroupOptions());
        _group = decision.Next;
        return decision.Reply;
    }

    [Fact]
    public void Restarted_static_member_numbers_its_heartbeats_anew()
    {
        Beat("a1", 1, 0, instance: "one");
        _topics.Set("t", 3);
        _group = ConsumerGroupDecision.OnTopics(_group, _topics.Topics);
        var joined = Beat("a1", 57, 1, [], instance: "one")!;
        Beat("a1", 58, ConsumerGroupHeartbeat.LeaveForNowEpoch, instance: "one");
        Assert.Equal(57, _group.State.Members["a1"].Sequence);
        var returned = Beat("a2", 1, 0, instance: "one")!;
        Assert.Equal(ErrorCode.None, Beat("a2", 2, returned.MemberEpoch, Held(joined), instance: "one")!.Error);
    }

    private static IReadOnlyList<TopicPartitions> Held(ConsumerGroupHeartbeatResult? answer) => answer!.Assignment!;

    [Fact]
    public void Overtaken_heartbeat_is_refused_and_changes_nothing()
    {
        var joined = Beat("a", 1, 0)!;
        Beat("a", 3, joined.MemberEpoch, Held(joined));
        var before = _group;
        Assert.Equal(ErrorCode.StaleMemberEpoch, Beat("a", 2, joined.MemberEpoch, [])!.Error);
        Assert.Equal(ErrorCode.StaleMemberEpoch, Beat("a", 1, 0)!.Error);
        Assert.Equal(ErrorCode.StaleMemberEpoch, Beat("a", 2, ConsumerGroupHeartbeat.LeaveEpoch)!.Error);
        Assert.Same(before, _group);
    }

    [Fact]
    public void Overtaken_heartbeat_is_refused_by_a_coordinator_with_only_stored_state()
    {
        Beat("a", 1, 0);
        var joined = Beat("a", 4, 0)!;
        // A heartbeat without a change is not stored; one with a change is.
        Assert.Equal((1, 4), (_group.State.Members["a"].Sequence, _group.LatestOf("a")));
        _group = ConsumerGroup.TakeOver(_group.State, Now);
        _topics.Set("t", 3);
        _group = ConsumerGroupDecision.OnTopics(_group, _topics.Topics);
        var more = Beat("a", 6, joined.MemberEpoch, Held(joined))!;
        Assert.Equal(3, Held(more).Sum(topic => topic.Partitions.Count));
        _group = ConsumerGroup.TakeOver(_group.State, Now);
        Assert.Equal(ErrorCode.StaleMemberEpoch, Beat("a", 5, joined.MemberEpoch, Held(joined))!.Error);
    }

    [Theory]
    [InlineData(5, nameof(ConsumerMemberStatus.UnrevokedPartitions))]
    [InlineData(6, nameof(ConsumerMemberStatus.Stable))]
    public void Duplicate_heartbeat_does_not_confirm_the_first_ones_answer(long sequence, string expected)
    {
        // Heartbeat 5 came from a member that owned partition 0, and was answered with both. Now the second partition moves to another
        // member.
        Beat("a", 1, 0);
        var topic = _group.State.Topics["t"].TopicId;
        PartitionSet Partitions(params int[] numbers) => PartitionSet.Of(numbers.Select(number => new TopicIdPartition(topic, number)));
        var member = _group.State.Members["a"] with { Sequence = 5, Assigned = Partitions(0, 1), Target = Partitions(0) };
        _group = _group.With(_group.State.With(member) with { GroupEpoch = member.Epoch + 1, TargetEpoch = member.Epoch + 1 });

        Beat("a", sequence, member.Epoch, Partitions(0).ToTopicPartitions());

        Assert.Equal((expected, expected == nameof(ConsumerMemberStatus.Stable) ? PartitionSet.Empty : Partitions(1)),
            (_group.State.Members["a"].Status.ToString(), _group.State.Members["a"].Revoking));
    }

    [Fact]
    public void Assignment_whose_answer_was_lost_is_repeated_by_the_next_heartbeat()
    {
        var first = Beat("a", 1, 0)!;
        var second = Beat("b", 1, 0)!;
        Assert.Empty(Held(second));
        var halved = Beat("a", 2, first.MemberEpoch, Held(first))!;
        Beat("a", 3, halved.MemberEpoch, Held(halved));
        var lost = Beat("b", 2, second.MemberEpoch, [])!;
        Assert.Single(Held(lost)[0].Partitions);
        // Its epoch is the same: only its reported partitions show that the answer was lost. A long poll does not wait then.
        Assert.Equal(second.MemberEpoch, lost.MemberEpoch);
        Assert.Equal(Held(lost)[0].Partitions, Held(Beat("b", 3, second.MemberEpoch, [], wait: TimeSpan.FromSeconds(5)))[0].Partitions);
        Assert.Null(Beat("b", 4, second.MemberEpoch, Held(lost), wait: TimeSpan.FromSeconds(5)));
    }

    [Fact]
    public void Heartbeat_duplicated_in_transit_gets_the_full_answer_for_any_client()
    {
        var joined = Beat("a", 0, 0)!;
        Assert.Null(Beat("a", 0, joined.MemberEpoch)!.Assignment);
        Assert.Equal(2, Held(Beat("a", 0, joined.MemberEpoch, isRepeated: true))[0].Partitions.Count);
        Assert.Equal(2, Held(Beat("a", 0, joined.MemberEpoch, isRepeated: true, wait: TimeSpan.FromSeconds(5)))[0].Partitions.Count);
    }
}
