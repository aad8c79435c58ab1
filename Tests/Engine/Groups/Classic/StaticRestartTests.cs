using System.Collections.Immutable;
using OrleansMq.Api;
using OrleansMq.Clusters;
using OrleansMq.Groups;
using OrleansMq.Groups.Assignment;
using OrleansMq.Groups.Classic;
using OrleansMq.Groups.Coordination;
using OrleansMq.Topics;

namespace OrleansMq.Tests.Engine.Groups.Classic;

/// <summary>A restarted static member keeps its assignment (KIP-814), unless a partition waits for it: a leader would never learn of new
/// ones, and a cooperative member does not know that it was to hand over what it had.</summary>
public sealed class StaticRestartTests
{
    private static readonly DateTimeOffset Now = new(2026, 1, 1, 0, 0, 0, TimeSpan.Zero);
    private static readonly Guid Orders = Guid.CreateVersion7(Now);

    private static readonly JoinGroup Join = new()
    {
        GroupId = "g",
        GroupInstanceId = "i",
        SessionTimeout = TimeSpan.FromSeconds(10),
        SupportsSkippingAssignment = true,
        Protocols = [ClientAssignors.Offer(new RangeAssignor(), new ConsumerSubscription { Topics = ["orders"] })],
    };

    [Theory]
    [InlineData(2, true)]
    [InlineData(3, false)]
    public void Static_leader_rejoins_without_a_rebalance_where_all_partitions_are_read(int partitions, bool goesOn)
    {
        var group = ClassicGroupDecision.Join(ClassicGroup.Create(Now), Join, "first", Now, new GroupOptions()).Next;
        group = ClassicGroupDecision.Sync(group, new SyncGroup
        {
            GroupId = "g",
            MemberId = "first",
            GenerationId = 1,
            Assignments = [new("first", ConsumerProtocol.Encode(new ConsumerAssignment([new("orders", 0), new("orders", 1)])))],
        }, Now).Next;

        var topics = Topics(partitions);
        var back = ClassicGroupDecision.Join(ClassicGroupDecision.BeforeJoin(group, Join, topics, Now), Join, "second", Now,
            new GroupOptions());

        Assert.Equal(goesOn, back.Reply?.SkipAssignment ?? false);
        Assert.Equal((goesOn ? GroupState.Stable : GroupState.CompletingRebalance, goesOn ? 1 : 2),
            (back.Next.State.State, back.Next.State.Generation));
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public void Resumed_static_leader_gets_partitions_that_the_coordinator_learns_of_later(bool skipsAssignment)
    {
        var join = Join with { SupportsSkippingAssignment = skipsAssignment };
        var group = ClassicGroupDecision.Join(ClassicGroup.Create(Now), join, "first", Now, new GroupOptions()).Next;
        group = ClassicGroupDecision.Sync(group, new SyncGroup
        {
            GroupId = "g",
            MemberId = "first",
            GenerationId = 1,
            Assignments = [new("first", ConsumerProtocol.Encode(new ConsumerAssignment([new("orders", 0), new("orders", 1)])))],
        }, Now).Next;
        // Its own process watches the partitions.
        Assert.Same(group, ClassicGroupDecision.OnTopics(group, Topics(3), Now));

        group = ClassicGroupDecision.Join(ClassicGroupDecision.BeforeJoin(group, join, Topics(2), Now), join, "second", Now,
            new GroupOptions()).Next;
        Assert.Equal(GroupState.Stable, group.State.State);
        Assert.Same(group, ClassicGroupDecision.OnTopics(group, Topics(2), Now));
        // Another coordinator takes over meanwhile.
        group = ClassicGroup.TakeOver(Stored(group.State)!, Now);
        group = ClassicGroupDecision.OnTopics(group, Topics(3), Now);
        Assert.Equal(GroupState.PreparingRebalance, group.State.State);

        // The leader assigns again, by what it knows, and watches from there on.
        group = ClassicGroupDecision.Join(group, join with { MemberId = "second" }, "", Now, new GroupOptions()).Next;
        group = ClassicGroupDecision.Sync(group, new SyncGroup { GroupId = "g", MemberId = "second", GenerationId = 2 }, Now).Next;
        Assert.Equal(GroupState.Stable, group.State.State);
        Assert.Same(group, ClassicGroupDecision.OnTopics(group, Topics(3), Now));
    }

    [Fact]
    public void Assignment_by_another_protocol_type_is_left_to_the_leader()
    {
        var other = Join with { ProtocolType = "connect", Protocols = [new GroupProtocol("range", new byte[] { 1 })] };
        var group = ClassicGroupDecision.Join(ClassicGroup.Create(Now), other, "first", Now, new GroupOptions()).Next;
        group = ClassicGroupDecision.Sync(group, new SyncGroup { GroupId = "g", MemberId = "first", GenerationId = 1 }, Now).Next;

        Assert.Same(group, ClassicGroupDecision.BeforeJoin(group, other, Topics(3), Now));
    }

    [Theory]
    [InlineData(false, GroupState.Stable)]
    [InlineData(true, GroupState.PreparingRebalance)]
    public void Static_member_that_owned_withheld_partitions_restarts_with_a_rebalance(bool isWithheld, GroupState expected)
    {
        var group = Joined(ClassicGroup.Create(Now), "i", "follower");
        group = Joined(group, "j", "leader");
        group = ClassicGroupDecision.Join(group, Cooperative("i") with { MemberId = "follower" }, "", Now, new GroupOptions()).Next;
        group = group with { State = group.State with { Leader = "leader" } };
        // The leader moves partition 1 to itself, as soon as the follower has revoked it and rejoined.
        group = ClassicGroupDecision.Sync(group, new SyncGroup
        {
            GroupId = "g",
            MemberId = "leader",
            GroupInstanceId = "j",
            GenerationId = group.State.Generation,
            Assignments = [Assigned("follower", 0), isWithheld ? Assigned("leader", 2) : Assigned("leader", 1, 2)],
        }, Now).Next;
        Assert.Equal(GroupState.Stable, group.State.State);

        var restart = Cooperative("i", []) with { MemberId = "" };
        var restarted = ClassicGroupDecision.Join(ClassicGroupDecision.BeforeJoin(group, restart, Topics(3), Now), restart, "again", Now,
            new GroupOptions());

        Assert.Equal(expected, restarted.Next.State.State);
    }

    private static ClassicGroupState? Stored(ClassicGroupState state) =>
        GroupDocument.Parse(new GroupDocument { Coordinator = new(1, Guid.NewGuid()), Type = GroupType.Classic, Classic = state }.ToBytes())
            .Classic;

    private static ClassicGroup Joined(ClassicGroup group, string instance, string memberId) =>
        ClassicGroupDecision.Join(group, Cooperative(instance), memberId, Now, new GroupOptions()).Next;

    private static JoinGroup Cooperative(string instance) =>
        Cooperative(instance, instance == "i" ? [new("orders", 0), new("orders", 1)] : [new("orders", 2)]);

    private static JoinGroup Cooperative(string instance, IReadOnlyList<TopicPartition> owned) => Join with
    {
        GroupInstanceId = instance,
        Protocols = [ClientAssignors.Offer(new CooperativeStickyAssignor(),
            new ConsumerSubscription { Topics = ["orders"], OwnedPartitions = owned, Generation = 1 })],
    };

    private static MemberAssignment Assigned(string memberId, params int[] partitions) => new(memberId,
        ConsumerProtocol.Encode(new ConsumerAssignment([.. partitions.Select(partition => new TopicPartition("orders", partition))])));

    private static GroupTopics Topics(int partitions) =>
        GroupTopics.Of((ClusterImage.Empty with { Version = 1 }).WithTopic(new ImageTopic("orders", Orders, TopicStatus.Active, 1,
            ImmutableSortedDictionary<string, string>.Empty, [.. Enumerable.Repeat(ImagePartition.Create([0]), partitions)], partitions)));
}
