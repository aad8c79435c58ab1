using System.Collections.Immutable;
using OrleansMq.Api;
using OrleansMq.Clusters;
using OrleansMq.Groups;
using OrleansMq.Groups.Assignment;
using OrleansMq.Groups.Classic;
using OrleansMq.Topics;

namespace OrleansMq.Tests.Engine.Groups.Classic;

/// <summary>A static leader that rejoins keeps the assignment (KIP-814), unless there are new unassigned partitions, of which it would
/// never learn.</summary>
public sealed class StaticLeaderTests
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

    [Fact]
    public void Assignment_by_another_protocol_type_is_left_to_the_leader()
    {
        var other = Join with { ProtocolType = "connect", Protocols = [new GroupProtocol("range", new byte[] { 1 })] };
        var group = ClassicGroupDecision.Join(ClassicGroup.Create(Now), other, "first", Now, new GroupOptions()).Next;
        group = ClassicGroupDecision.Sync(group, new SyncGroup { GroupId = "g", MemberId = "first", GenerationId = 1 }, Now).Next;

        Assert.Same(group, ClassicGroupDecision.BeforeJoin(group, other, Topics(3), Now));
    }

    private static GroupTopics Topics(int partitions) =>
        GroupTopics.Of((ClusterImage.Empty with { Version = 1 }).WithTopic(new ImageTopic("orders", Orders, TopicStatus.Active, 1,
            ImmutableSortedDictionary<string, string>.Empty, [.. Enumerable.Repeat(ImagePartition.Create([0]), partitions)], partitions)));
}
