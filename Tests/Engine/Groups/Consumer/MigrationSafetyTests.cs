using System.Collections.Immutable;
using OrleansMq.Api;
using OrleansMq.Clusters;
using OrleansMq.Groups;
using OrleansMq.Groups.Assignment;
using OrleansMq.Groups.Classic;
using OrleansMq.Groups.Consumer;
using OrleansMq.Topics;

namespace OrleansMq.Tests.Engine.Groups.Consumer;

/// <summary>Cases that simulated groups found during migration between the protocols.</summary>
public sealed class MigrationSafetyTests
{
    private static readonly DateTimeOffset Now = new(2026, 1, 1, 0, 0, 0, TimeSpan.Zero);
    private static readonly Guid Orders = Guid.CreateVersion7(Now);

    [Fact]
    public void Partition_still_being_revoked_is_not_given_to_another_member()
    {
        var member = Member(epoch: 9) with
        {
            Status = ConsumerMemberStatus.UnrevokedPartitions,
            Assigned = Partitions(0),
            Revoking = Partitions(1),
        };

        var classic = GroupMigration.TryDowngrade(Group(epoch: 10, member), Now)!;
        Assert.Equal(ErrorCode.None, GroupMigration.TryUpgrade(classic, Topics(), Now, out var upgraded).Error);

        Assert.Equal(Partitions(0, 1), upgraded.State.Members["m"].Assigned);
    }

    [Fact]
    public void Generation_never_equals_an_epoch()
    {
        // Another member was at epoch 10 and has left.
        var classic = GroupMigration.TryDowngrade(Group(epoch: 10, Member(epoch: 8)), Now)!;

        Assert.Equal(8, classic.State.Generation);
        var joined = ClassicGroupDecision.Join(classic, Join(), "", Now, new GroupOptions()).Next;
        Assert.Equal((GroupState.CompletingRebalance, 11), (joined.State.State, joined.State.Generation));
        Assert.Equal(11, joined.State.NextGeneration - 1);
    }

    [Theory]
    [InlineData(false, ErrorCode.None)]
    [InlineData(true, ErrorCode.IllegalGeneration)]
    public void Holder_of_a_deleted_topic_commits_nothing_after_the_downgrade(bool isDeleted, ErrorCode expected)
    {
        // The topic has its name from another one by now, whose partition a member held that has left.
        var held = PartitionSet.Of([new TopicIdPartition(isDeleted ? Guid.CreateVersion7(Now) : Orders, 1)]);
        var classic = GroupMigration.TryDowngrade(Group(epoch: 10, Member(epoch: 8) with { Assigned = held }), Now)!;

        var commit = new OffsetCommit { GroupId = "g", MemberId = "m", GenerationIdOrMemberEpoch = 8, Offsets = [] };

        Assert.Equal(expected, ClassicGroupDecision.CheckCommit(classic.State, commit).Error);
    }

    [Fact]
    public void Group_upgraded_again_continues_from_its_last_epoch()
    {
        var classic = GroupMigration.TryDowngrade(Group(epoch: 10, Member(epoch: 8)), Now)!;

        GroupMigration.TryUpgrade(classic, Topics(), Now, out var upgraded);

        Assert.Equal((10, 8), (upgraded.State.GroupEpoch, upgraded.State.Members["m"].Epoch));
    }

    [Fact]
    public void Classic_member_reading_unknown_partitions_keeps_the_group_classic()
    {
        var classic = GroupMigration.TryDowngrade(Group(epoch: 9, Member(epoch: 9) with { Assigned = Partitions(0, 1) }), Now)!;

        var refusal = GroupMigration.TryUpgrade(classic, GroupTopics.Of(ClusterImage.Empty with { Version = 1 }), Now, out _);

        Assert.Equal(ErrorCode.CoordinatorLoadInProgress, refusal.Error);
    }

    [Fact]
    public void Classic_member_that_owned_unknown_partitions_in_a_generation_that_was_never_assigned_keeps_the_group_classic()
    {
        var owning = ClientAssignors.Offer(new CooperativeStickyAssignor(),
            new ConsumerSubscription { Topics = ["orders"], OwnedPartitions = [new("orders", 0)], Generation = 1 });
        var joining = Join() with { MemberId = "", RequireKnownMemberId = false, Protocols = [owning] };
        var unassigned = ClassicGroupDecision.Join(ClassicGroup.Create(Now), joining, "m", Now, new GroupOptions()).Next;
        var next = ClassicGroupDecision.Join(unassigned, joining, "n", Now, new GroupOptions()).Next;
        Assert.Equal(GroupState.PreparingRebalance, next.State.State);

        Assert.Equal(ErrorCode.CoordinatorLoadInProgress,
            GroupMigration.TryUpgrade(next, GroupTopics.Of(ClusterImage.Empty with { Version = 1 }), Now, out _).Error);
    }

    [Fact]
    public void Partitions_owned_at_join_stay_owned_until_the_assignment_is_known() =>
        // A cooperative leader took partition 1 from it and gives it to no member in this generation.
        Assert.Equal(Partitions(0, 1), KeptOf(new CooperativeStickyAssignor()));

    [Fact]
    public void Partitions_that_an_eager_member_names_at_its_join_are_not_its_own() =>
        Assert.Equal(Partitions(0), KeptOf(new RangeAssignor()));

    [Fact]
    public void Partitions_that_an_eager_member_names_as_it_joins_again_are_not_its_own() =>
        Assert.Equal(PartitionSet.Empty, KeptOf(new RangeAssignor(), joinsAgain: true));

    [Fact]
    public void Partitions_that_a_cooperative_member_names_as_it_joins_again_are_its_own() =>
        Assert.Equal(Partitions(0, 1), KeptOf(new CooperativeStickyAssignor(), joinsAgain: true));

    // Of a member that joins with partitions 0 and 1, and is assigned 0; it may join again with the former while another joins.
    private static PartitionSet KeptOf(IClientAssignor assignor, bool joinsAgain = false)
    {
        var owning = ClientAssignors.Offer(assignor,
            new ConsumerSubscription { Topics = ["orders"], OwnedPartitions = [new("orders", 0), new("orders", 1)], Generation = 1 });
        var joined = ClassicGroupDecision.Join(ClassicGroup.Create(Now),
            Join() with { MemberId = "", RequireKnownMemberId = false, Protocols = [owning] }, "m", Now, new GroupOptions()).Next;
        var assigned = ClassicGroupDecision.Sync(joined, new SyncGroup
        {
            GroupId = "g",
            MemberId = "m",
            GenerationId = 1,
            Assignments = [new("m", ConsumerProtocol.Encode(new ConsumerAssignment([new("orders", 0)])))],
        }, Now).Next;

        if (joinsAgain)
        {
            var other = ClassicGroupDecision.Join(assigned, Join() with { MemberId = "", RequireKnownMemberId = false,
                Protocols = [ClientAssignors.Offer(assignor, new ConsumerSubscription { Topics = ["orders"] })] }, "n", Now,
                new GroupOptions()).Next;
            Assert.Equal(GroupState.PreparingRebalance, other.State.State);
            var third = ClassicGroupDecision.Join(other, Join() with { MemberId = "", RequireKnownMemberId = false,
                Protocols = other.State.Members["n"].Protocols }, "o", Now, new GroupOptions()).Next;
            assigned = ClassicGroupDecision.Join(third, Join() with { Protocols = [owning] }, "", Now, new GroupOptions()).Next;
        }

        Assert.Equal(ErrorCode.None, GroupMigration.TryUpgrade(assigned, Topics(), Now, out var upgraded).Error);
        return upgraded.State.Members["m"].Assigned;
    }

    [Fact]
    public void Unknown_partitions_reported_by_a_classic_member_do_not_count_as_revoked()
    {
        // The broker that took over the group has an image without the topic, and computed a target from it.
        var group = Group(epoch: 9, Member(epoch: 9) with { Assigned = Partitions(0, 1), Target = Partitions(0, 1) });
        var older = GroupTopics.Of(ClusterImage.Empty with { Version = 1 });
        var owning = ClientAssignors.Offer(new CooperativeStickyAssignor(),
            new ConsumerSubscription { Topics = ["orders"], OwnedPartitions = [new("orders", 0), new("orders", 1)], Generation = 9 });
        group = ConsumerGroupDecision.OnTopics(group, older);

        var joined = ConsumerGroupDecision.Join(group, Join() with { Protocols = [owning] }, "", older, Now, new GroupOptions())
            .Next.State.Members["m"];

        Assert.Equal((ConsumerMemberStatus.UnrevokedPartitions, Partitions(0, 1)), (joined.Status, joined.Revoking));
        var again = ConsumerGroupDecision.Join(group.With(group.State.With(joined)), Join(), "", older, Now, new GroupOptions())
            .Next.State.Members["m"];
        Assert.Equal((ConsumerMemberStatus.Stable, PartitionSet.Empty), (again.Status, again.Revoking));
    }

    private static ConsumerGroup Group(int epoch, ConsumerMember member)
    {
        var group = ConsumerGroup.Create(Now, epoch);
        return group with { State = group.State.With(member) with { EmptySince = null,
            Topics = group.State.Topics.Add("orders", new ConsumerTopic(Orders, 2)) } };
    }

    private static ConsumerMember Member(int epoch) => new()
    {
        MemberId = "m",
        Epoch = epoch,
        PreviousEpoch = epoch,
        RebalanceTimeout = TimeSpan.FromSeconds(60),
        TopicNames = ["orders"],
        Classic = new ClassicFacet { SessionTimeout = TimeSpan.FromSeconds(10), Protocols = [Offer()] },
    };

    private static JoinGroup Join() =>
        new() { GroupId = "g", MemberId = "m", Protocols = [Offer()], SessionTimeout = TimeSpan.FromSeconds(10) };

    private static GroupProtocol Offer() =>
        ClientAssignors.Offer(new CooperativeStickyAssignor(), new ConsumerSubscription { Topics = ["orders"] });

    private static PartitionSet Partitions(params int[] numbers) =>
        PartitionSet.Of(numbers.Select(number => new TopicIdPartition(Orders, number)));

    private static GroupTopics Topics() =>
        GroupTopics.Of((ClusterImage.Empty with { Version = 1 }).WithTopic(new ImageTopic("orders", Orders, TopicStatus.Active, 1,
            ImmutableSortedDictionary<string, string>.Empty, [ImagePartition.Create([0]), ImagePartition.Create([0])], 2)));
}
