using OrleansMq.Api;
using OrleansMq.Groups;
using OrleansMq.Groups.Assignment;
using OrleansMq.Groups.Classic;

namespace OrleansMq.Tests.Engine.Groups.Classic;

/// <summary>A member commits only what an assignment of its generation gave it.</summary>
public sealed class CommitGenerationTests
{
    private static readonly DateTimeOffset Now = new(2026, 1, 1, 0, 0, 0, TimeSpan.Zero);

    private static readonly JoinGroup Join = new()
    {
        GroupId = "g",
        SessionTimeout = TimeSpan.FromSeconds(10),
        RebalanceTimeout = TimeSpan.FromSeconds(10),
        RequireKnownMemberId = false,
        Protocols = [ClientAssignors.Offer(new RangeAssignor(), new ConsumerSubscription { Topics = ["orders"] })],
    };

    [Fact]
    public void Generation_that_was_never_assigned_accepts_no_commit()
    {
        var group = SecondGenerationBegins();
        Assert.Equal((GroupState.CompletingRebalance, 2, "first"), (group.State.State, group.State.Generation, group.State.Leader));
        Assert.Equal(ErrorCode.RebalanceInProgress, Commit(group, "second", 2));

        group = ClassicGroupDecision.Leave(group, new LeaveGroup("g", [new LeavingMember("first")]), Now).Next;

        Assert.Equal((GroupState.PreparingRebalance, 2), (group.State.State, group.State.Generation));
        Assert.Equal(ErrorCode.RebalanceInProgress, Commit(group, "second", 2));
    }

    [Fact]
    public void Assigned_members_commit_while_the_next_rebalance_is_prepared()
    {
        var group = Assigned(SecondGenerationBegins(), "first", 2);
        group = ClassicGroupDecision.Leave(group, new LeaveGroup("g", [new LeavingMember("second")]), Now).Next;

        Assert.Equal((GroupState.PreparingRebalance, 2), (group.State.State, group.State.Generation));
        Assert.Equal(ErrorCode.None, Commit(group, "first", 2));
    }

    // One member reads alone; then a second joins.
    private static ClassicGroup SecondGenerationBegins()
    {
        var group = Joined(ClassicGroup.Create(Now), Join with { MemberId = "" }, "first");
        group = Assigned(group, "first", 1);
        group = Joined(group, Join with { MemberId = "" }, "second");
        Assert.Equal(ErrorCode.None, Commit(group, "first", 1));
        return Joined(group, Join with { MemberId = "first" }, "unused");
    }

    private static ClassicGroup Joined(ClassicGroup group, JoinGroup request, string freshId) =>
        ClassicGroupDecision.Join(group, request, freshId, Now, new GroupOptions()).Next;

    private static ClassicGroup Assigned(ClassicGroup group, string leader, int generation) =>
        ClassicGroupDecision.Sync(group, new SyncGroup
        {
            GroupId = "g",
            MemberId = leader,
            GenerationId = generation,
            Assignments = [new(leader, ConsumerProtocol.Encode(new ConsumerAssignment([new("orders", 0)])))],
        }, Now).Next;

    private static ErrorCode Commit(ClassicGroup group, string memberId, int generation) =>
        ClassicGroupDecision.CheckCommit(group.State, new OffsetCommit
        {
            GroupId = "g",
            MemberId = memberId,
            GenerationIdOrMemberEpoch = generation,
            Offsets = [new PartitionOffset("orders", 0, new CommittedOffset(1))],
        }).Error;
}
