using OrleansMq.Log;
using OrleansMq.Replication;

namespace OrleansMq.Tests.Engine.Replication;

public sealed class FollowerDecisionTests
{
    [Theory]
    [InlineData(4, 5, FenceOutcome.Refuse)]
    [InlineData(5, 5, FenceOutcome.Current)]
    [InlineData(6, 5, FenceOutcome.Raise)]
    internal void An_older_epoch_is_refused(int epoch, int fence, FenceOutcome expected) =>
        Assert.Equal(expected, FenceDecision.Decide(epoch, fence));

    [Fact]
    public void Restart_keeps_every_epoch()
    {
        Assert.Equal(6, FenceDecision.AfterRestart(6, 4));
        Assert.Equal(6, FenceDecision.AfterRestart(4, 6));
    }

    [Theory]
    [InlineData(10, 12, 10, 3, 12, 3, PushOutcome.Skip)]
    [InlineData(10, 12, 10, 3, 10, 3, PushOutcome.Append)]
    [InlineData(10, 12, 10, 3, 9, 3, PushOutcome.Gap)]
    [InlineData(10, 12, 10, 3, 10, 2, PushOutcome.Diverged)]
    [InlineData(10, 12, 10, 3, 11, 3, PushOutcome.Diverged)]
    [InlineData(0, 1, 0, -1, 0, -1, PushOutcome.Append)]
    [InlineData(10, 12, 7, 3, 7, 3, PushOutcome.Append)]
    [InlineData(10, 12, 7, 3, 8, 3, PushOutcome.Append)]
    [InlineData(10, 12, 7, 3, 6, 3, PushOutcome.Gap)]
    [InlineData(10, 12, 7, -1, 7, 3, PushOutcome.Append)]
    internal void A_push_never_truncates(long baseOffset, long nextOffset, long previousEnd, int previousEpoch, long logEnd,
        int ownPreviousEpoch,
        PushOutcome expected) =>
        Assert.Equal(expected, PushDecision.Decide(baseOffset, nextOffset, previousEnd, previousEpoch, 0, logEnd, ownPreviousEpoch));

    [Fact]
    public void Empty_log_starts_with_the_batch_that_holds_the_leaders_log_start() =>
        Assert.Equal(PushOutcome.BeginAndAppend, PushDecision.Decide(10, 12, 11, 3, logStart: 11, logEnd: 11, ownPreviousEpoch: -1));

    [Fact]
    public void Follower_below_the_leaders_log_start_starts_again()
    {
        Assert.True(PushDecision.MustReset(leaderLogStart: 11, logEnd: 10));
        Assert.False(PushDecision.MustReset(leaderLogStart: 10, logEnd: 10));
    }

    [Fact]
    public void High_watermark_from_before_an_unclean_election_is_not_binding()
    {
        Assert.Equal(0, AlignmentDecision.Floor(50, highWatermarkEpoch: 3, uncleanEpoch: 4));
        Assert.Equal(50, AlignmentDecision.Floor(50, highWatermarkEpoch: 4, uncleanEpoch: 4));
        Assert.Equal(50, AlignmentDecision.Floor(50, highWatermarkEpoch: 3, uncleanEpoch: -1));
    }

    [Fact]
    public void Empty_log_agrees_with_every_history() =>
        Assert.Equal(AlignmentOutcome.Aligned, Align(-1, LeaderEpochCache.None, LeaderEpochCache.None, 0, 0).Outcome);

    [Fact]
    public void Empty_log_above_the_leaders_log_start_goes_down_to_it_after_an_unclean_election()
    {
        Assert.Equal(new AlignmentDecision(AlignmentOutcome.Aligned, 4), Align(-1, new(-1, 4), LeaderEpochCache.None, 10, 0));
        Assert.Equal(new AlignmentDecision(AlignmentOutcome.Aligned, 10), Align(-1, new(-1, 4), LeaderEpochCache.None, 10, 10));
        Assert.Equal(new AlignmentDecision(AlignmentOutcome.Aligned, 10), Align(-1, new(-1, 14), LeaderEpochCache.None, 10, 10));
    }

    [Fact]
    public void Shared_epoch_is_truncated_to_its_end_at_the_leader()
    {
        Assert.Equal(new AlignmentDecision(AlignmentOutcome.Aligned, 8), Align(3, new(3, 8), new(3, 10), 10, 5));
        Assert.Equal(new AlignmentDecision(AlignmentOutcome.Aligned, 10), Align(3, new(3, 12), new(3, 10), 10, 5));
    }

    [Fact]
    public void Epoch_unknown_to_the_leader_is_truncated_and_the_alignment_repeated() =>
        Assert.Equal(new AlignmentDecision(AlignmentOutcome.AskAgain, 6), Align(3, new(2, 8), new(2, 6), 10, 5));

    [Fact]
    public void Follower_to_be_truncated_below_its_high_watermark_goes_offline() =>
        Assert.Equal(AlignmentOutcome.Offline, Align(3, new(3, 4), new(3, 10), 10, 5).Outcome);

    [Fact]
    public void Batches_of_the_leader_itself_are_never_truncated() =>
        Assert.Equal(new AlignmentDecision(AlignmentOutcome.Aligned, 10), Align(4, new(4, 8), new(4, 10), 10, 5, leaderEpoch: 4));

    [Fact]
    public void Leader_without_the_claimed_epoch_is_refused() =>
        Assert.Equal(AlignmentOutcome.Refuse, Align(3, LeaderEpochCache.None, LeaderEpochCache.None, 10, 5).Outcome);

    // At 10 the log ends, but the batch around its start may begin at 8.
    [Theory]
    [InlineData(9, 10, 0, true)]
    [InlineData(10, 10, 0, true)]
    [InlineData(11, 10, 0, false)]
    [InlineData(11, 10, 12, true)]
    [InlineData(12, 10, 12, false)]
    public void Cut_at_the_log_start_or_below_the_compacted_end_begins_again(long truncateTo, long logStart, long compactedEnd,
        bool again) =>
        Assert.Equal(again, AlignmentDecision.MustBeginAgain(truncateTo, logStart, compactedEnd));

    [Fact]
    public void Unclean_election_waits_for_all_and_minimizes_loss()
    {
        Assert.Null(UncleanElection.Choose([0, 1], [new(0, 3, 10)]));
        Assert.Equal(1, UncleanElection.Choose([0, 1], [new(0, 3, 10), new(1, 4, 2)]));
        Assert.Equal(0, UncleanElection.Choose([0, 1], [new(0, 3, 10), new(1, 3, 9)]));
        Assert.Null(UncleanElection.Choose([], []));
    }

    private static AlignmentDecision Align(int asked, LeaderEpochEntry answer, LeaderEpochEntry own, long logEnd, long highWatermark,
        int leaderEpoch = 4) =>
        AlignmentDecision.Decide(leaderEpoch, asked, answer, own, logEnd, highWatermark);
}
