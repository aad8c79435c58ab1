using OrleansMq.Replication;
using static OrleansMq.Tests.Engine.Replication.Members;

namespace OrleansMq.Tests.Engine.Replication;

public sealed class ReassignmentDecisionTests
{
    [Fact]
    public void Added_replicas_come_first_and_none_is_removed_yet()
    {
        var begun = ReassignmentDecision.Begin(Stored([A, B]), [2, 3])!;
        Assert.Equal([2, 3, 0, 1], begun.Replicas.ToArray());
        Assert.Equal([2, 3], begun.Reassignment.ToArray());
        Assert.Equal([A, B], begun.Isr.ToArray());
        Assert.Null(ReassignmentDecision.Begin(begun, [2, 3]));
    }

    [Fact]
    public void Reordering_the_same_brokers_completes_at_once()
    {
        var begun = ReassignmentDecision.Begin(Stored([A, B]), [2, 0, 1])!;
        Assert.Equal([2, 0, 1], begun.Replicas.ToArray());
        Assert.Empty(begun.Reassignment);
        Assert.Null(ReassignmentDecision.Begin(Stored([A, B]), [0, 1, 2]));
    }

    [Fact]
    public void Reassignment_back_to_the_original_cancels_it()
    {
        var begun = ReassignmentDecision.Begin(Stored([A, B, C]), [0, 1, 3])!;
        var back = ReassignmentDecision.Begin(begun, [0, 1, 2])!;
        Assert.Equal([0, 1, 2, 3], back.Replicas.ToArray());
        var done = ReassignmentDecision.Decide(back, 0);
        Assert.Equal(ReassignmentOutcome.Complete, done.Outcome);
        Assert.Equal([0, 1, 2], done.Next!.Replicas.ToArray());
    }

    [Fact]
    public void Reassignment_completes_only_when_all_targets_are_in_sync()
    {
        var begun = ReassignmentDecision.Begin(Stored([A, B], C), [0, 1])!;
        Assert.Equal(ReassignmentOutcome.Wait, ReassignmentDecision.Decide(begun with { Isr = [A] }, 0).Outcome);
        var done = ReassignmentDecision.Decide(begun, 0);
        Assert.Equal([0, 1], done.Next!.Replicas.ToArray());
        Assert.Equal([A, B], done.Next.Isr.ToArray());
        Assert.Empty(done.Next.Elr);
        Assert.Empty(done.Next.Reassignment);
        Assert.Equal(ReassignmentOutcome.Wait, ReassignmentDecision.Decide(done.Next, 0).Outcome);
    }

    [Fact]
    public void Leader_to_be_removed_hands_over_first()
    {
        var begun = ReassignmentDecision.Begin(Stored([A, B, C]), [1, 2])!;
        Assert.Equal(new ReassignmentDecision(ReassignmentOutcome.HandOver, null, 1), ReassignmentDecision.Decide(begun, 0));
    }

    [Fact]
    public void Successor_is_in_sync_and_alive_with_targets_first()
    {
        var state = Stored([A, B, C]);
        Assert.Equal(2, HandoverDecision.ChooseSuccessor(state, 0, 2, new AllBut()));
        Assert.Equal(1, HandoverDecision.ChooseSuccessor(state, 0, 2, new AllBut(2)));
        Assert.Equal(1, HandoverDecision.ChooseSuccessor(state, 0, null, new AllBut()));
        Assert.Equal(PartitionState.NoLeader, HandoverDecision.ChooseSuccessor(Stored([A], B), 0, 1, new AllBut()));
    }

    [Theory]
    [InlineData(10, 10, 10L, true)]
    [InlineData(10, 9, 10L, false)]
    [InlineData(10, 10, 9L, false)]
    [InlineData(10, 10, null, false)]
    public void Reassignment_is_drained_when_successor_and_high_watermark_reach_the_end(long logEnd, long highWatermark, long? successorEnd,
        bool drained) =>
        Assert.Equal(drained, HandoverDecision.IsDrained(logEnd, highWatermark, successorEnd));

    [Fact]
    public void Resigned_leader_leaves_no_token()
    {
        var resigned = HandoverDecision.Resigned(Stored([A, B]) with { LeaderToken = Token }, 1);
        Assert.Equal((PartitionState.NoLeader, 1, 4), (resigned.Leader, resigned.Successor, resigned.LeaderEpoch));
        Assert.Equal(StoreOutcome.StepDown, StoreDecision.AfterFailedWrite(resigned, Token));
    }
}
