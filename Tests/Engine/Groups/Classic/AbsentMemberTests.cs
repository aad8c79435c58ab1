using OrleansMq.Api;
using OrleansMq.Groups;
using OrleansMq.Groups.Assignment;
using OrleansMq.Groups.Classic;

namespace OrleansMq.Tests.Engine.Groups.Classic;

/// <summary>A static member that misses a rebalance may still read what it was assigned: a leader must not give that to another
/// member.</summary>
public sealed class AbsentMemberTests
{
    private static readonly DateTimeOffset Now = new(2026, 1, 1, 0, 0, 0, TimeSpan.Zero);
    private static readonly TimeSpan Timeout = TimeSpan.FromSeconds(10);
    private static readonly CooperativeStickyAssignor Assignor = new();

    [Fact]
    public void Absent_static_member_owns_its_assignment()
    {
        // It joined with nothing, and was assigned partition 0.
        var group = Assigned(WithAbsentMember(), 2, Sends("absent", 0), Sends("leader", 1, 2));

        group = ThirdMissesTheAbsent(group);

        Assert.Equal((GroupState.CompletingRebalance, 3), (group.State.State, group.State.Generation));
        var claim = ClaimOf(group, "absent");
        Assert.Equal([new TopicPartition("orders", 0)], claim.OwnedPartitions);
        Assert.Equal((2, "orders"), (claim.Generation, Assert.Single(claim.Topics)));
        Assert.Equal([new TopicPartition("orders", 0)], LeaderAssigns(group)["absent"]);
        Assert.Empty(LeaderAssigns(group)["third"]);
    }

    [Fact]
    public void Partition_taken_from_an_absent_member_remains_its_own_until_it_rejoins()
    {
        var group = Assigned(WithAbsentMember(), 2, Sends("absent", 0), Sends("leader", 1, 2));
        // The leader withholds partition 0, for the third.
        group = Assigned(ThirdMissesTheAbsent(group), 3, Sends("leader", 1, 2));

        group = Joined(group, "b", "third");
        group = Joined(group, "a", "leader", 1, 2);
        group = ClassicGroupDecision.OnTime(group, Now + Timeout);

        Assert.Equal((GroupState.CompletingRebalance, 4), (group.State.State, group.State.Generation));
        Assert.Equal([new TopicPartition("orders", 0)], ClaimOf(group, "absent").OwnedPartitions);

        // It has revoked it.
        group = Joined(group, "z", "absent");
        Assert.Empty(ClaimOf(group, "absent").OwnedPartitions);
    }

    [Fact]
    public void Claim_of_an_absent_member_has_the_generation_of_those_that_are_there()
    {
        var group = Assigned(WithAbsentMember(), 2, Sends("absent", 0), Sends("leader", 1, 2));
        group = Assigned(ThirdMissesTheAbsent(group), 3, Sends("absent", 0), Sends("leader", 1, 2));

        group = MissedAgain(group);
        Assert.Equal((4, 3), (group.State.Generation, ClaimOf(group, "absent").Generation));

        // The leader of generation 4 assigns nothing.
        group = MissedAgain(group);
        Assert.Equal((5, 4), (group.State.Generation, ClaimOf(group, "absent").Generation));
        Assert.Equal([new TopicPartition("orders", 0)], ClaimOf(group, "absent").OwnedPartitions);
        Assert.Equal(4, StickyUserData.Decode(ClaimOf(group, "absent").UserData).Generation);
    }

    [Fact]
    public void Absent_member_does_not_claim_what_another_was_assigned_since()
    {
        var group = Assigned(WithAbsentMember(), 2, Sends("absent", 0), Sends("leader", 1, 2));
        group = Assigned(ThirdMissesTheAbsent(group), 3, Sends("third", 0), Sends("leader", 1, 2));

        group = MissedAgain(group, 0);

        Assert.Equal(2, ClaimOf(group, "absent").Generation);
        Assert.Equal([new TopicPartition("orders", 0)], LeaderAssigns(group)["third"]);
    }

    [Fact]
    public void Absent_member_whose_claim_outgrows_the_limit_leaves_the_group()
    {
        var group = Assigned(WithAbsentMember(), 2, Sends("absent", [.. Enumerable.Range(0, AbsentMember.MaxBytes / 4)]),
            Sends("leader", 1, 2));

        group = ThirdMissesTheAbsent(group);

        Assert.Equal(["leader", "third"], group.State.Members.Keys);
    }

    private static ClassicGroup MissedAgain(ClassicGroup group, params int[] thirdOwns)
    {
        group = Joined(group, "b", "third", thirdOwns);
        group = Joined(group, "a", "leader", 1, 2);
        return ClassicGroupDecision.OnTime(group, Now + Timeout + Timeout);
    }

    // Generation 2, with its leader still to assign.
    private static ClassicGroup WithAbsentMember()
    {
        var group = Joined(ClassicGroup.Create(Now), "a", "leader", isNew: true);
        group = Joined(group, "z", "absent", isNew: true);
        return Joined(group, "a", "leader");
    }

    private static ClassicGroup ThirdMissesTheAbsent(ClassicGroup group)
    {
        group = Joined(group, "b", "third", isNew: true);
        group = Joined(group, "a", "leader", 1, 2);
        return ClassicGroupDecision.OnTime(group, Now + Timeout);
    }

    private static IReadOnlyDictionary<string, IReadOnlyList<TopicPartition>> LeaderAssigns(ClassicGroup group)
    {
        var members = ClassicGroupDecision.AnswerJoin(group, "leader", "a")!.Members;
        return Assignor.Assign(ClientAssignors.Read(Assignor, members).Members, [new AssignmentTopic("orders", 3)]);
    }

    private static ConsumerSubscription ClaimOf(ClassicGroup group, string memberId)
    {
        Assert.True(ConsumerProtocol.TryDecodeSubscription(group.State.Members[memberId].MetadataOf(Assignor.Name), out var claim, out _));
        return claim!;
    }

    private static ClassicGroup Joined(ClassicGroup group, string instance, string memberId, params int[] owned) =>
        Joined(group, instance, memberId, isNew: false, owned);

    private static ClassicGroup Joined(ClassicGroup group, string instance, string memberId, bool isNew, params int[] owned) =>
        ClassicGroupDecision.Join(group, new JoinGroup
        {
            GroupId = "g",
            MemberId = isNew ? "" : memberId,
            GroupInstanceId = instance,
            SessionTimeout = Timeout,
            RebalanceTimeout = Timeout,
            Protocols =
                [ClientAssignors.Offer(Assignor, Assignor.Subscribe(["orders"], [.. owned.Select(Partition)], group.State.Generation))],
        }, memberId, Now, new GroupOptions()).Next;

    private static ClassicGroup Assigned(ClassicGroup group, int generation, params MemberAssignment[] assignments)
    {
        var next = ClassicGroupDecision.Sync(group, new SyncGroup
        {
            GroupId = "g",
            MemberId = "leader",
            GroupInstanceId = "a",
            GenerationId = generation,
            Assignments = assignments,
        }, Now).Next;
        Assert.Equal(GroupState.Stable, next.State.State);
        return next;
    }

    private static MemberAssignment Sends(string memberId, params int[] partitions) => new(memberId,
        ConsumerProtocol.Encode(new ConsumerAssignment([.. partitions.Select(Partition)])));

    private static TopicPartition Partition(int number) => new("orders", number);
}
