using OrleansMq.Log;
using OrleansMq.Replication;
using static OrleansMq.Tests.Engine.Replication.Members;

namespace OrleansMq.Tests.Engine.Replication;

public sealed class FollowerReplicaTests
{
    private readonly List<ReplicationEffect> _effects = [];

    [Fact]
    public void Follower_accepts_pushes_only_when_aligned_and_answers_at_once()
    {
        var (log, follower) = Follow((3, 10));
        follower.OnPush(Heartbeat(epoch: 4));
        Assert.Equal(4, log.Fence);
        Assert.Equal(PushAnswerOutcome.NotAligned, Assert.Single(Sent<PushAnswer>()).Outcome);
        Assert.Equal(3, Assert.Single(Sent<AlignRequest>()).AskedEpoch);
        _effects.Clear();
        follower.OnAlignAnswer(new AlignAnswer(TopicId, 4, 1, 0, 3, new LeaderEpochEntry(3, 8), -1));
        Assert.Equal(8, log.LogEndOffset);
        Assert.Equal((PushAnswerOutcome.Accepted, 8L), (Assert.Single(Sent<PushAnswer>()).Outcome, Sent<PushAnswer>()[0].LogEnd));
    }

    [Fact]
    public void Older_leader_receives_the_fence()
    {
        var (_, follower) = Follow((3, 10));
        follower.OnPush(Heartbeat(epoch: 2));
        var answer = Assert.Single(Sent<PushAnswer>());
        Assert.Equal((PushAnswerOutcome.Fenced, 3), (answer.Outcome, answer.Fence));
    }

    [Fact]
    public void Hole_is_passed_and_its_epochs_start_where_the_leader_says()
    {
        var (log, follower) = Aligned((3, 10));
        var batch = new ReplicatedBatch(20, 22, 5, new byte[2]);
        follower.OnPush(Heartbeat(epoch: 5) with { PreviousEnd = 10, PreviousEpoch = 3, Batches = [batch], EndOffset = 25,
            Epochs = [new(3, 0), new(4, 12), new(5, 17)] });
        Assert.Equal(25, log.LogEndOffset);
        Assert.Equal([new(3, 0), new(4, 12), new(5, 17)], log.Epochs);
        Assert.Equal((PushAnswerOutcome.Accepted, 25L), (Sent<PushAnswer>()[^1].Outcome, Sent<PushAnswer>()[^1].LogEnd));
    }

    [Fact]
    public void Duplicate_push_is_skipped_and_a_gap_is_refused()
    {
        var (log, follower) = Aligned((3, 10));
        var push = Heartbeat(epoch: 5) with { PreviousEnd = 10, PreviousEpoch = 3, Batches = [new(10, 12, 5, new byte[2])], EndOffset = 12,
            Epochs = [new(5, 10)] };
        follower.OnPush(push);
        follower.OnPush(push);
        Assert.Equal(12, log.LogEndOffset);
        follower.OnPush(push with { PreviousEnd = 14, PreviousEpoch = 5, Batches = [new(14, 15, 5, new byte[1])], EndOffset = 15 });
        Assert.Equal((PushAnswerOutcome.Gap, 12L), (Sent<PushAnswer>()[^1].Outcome, Sent<PushAnswer>()[^1].LogEnd));
    }

    [Fact]
    public void Follower_below_the_leaders_log_start_restarts_there()
    {
        var (log, follower) = Follow((3, 10));
        follower.OnPush(Heartbeat(epoch: 4) with { LogStart = 31 });
        Assert.Equal((31L, 31L, FollowerStatus.Aligning), (log.LogStartOffset, log.LogEndOffset, follower.Status));
        Assert.Equal((PushAnswerOutcome.NotAligned, -1), (Sent<PushAnswer>()[^1].Outcome, Sent<AlignRequest>()[^1].AskedEpoch));
        follower.OnAlignAnswer(new AlignAnswer(TopicId, 4, 1, 0, -1, new LeaderEpochEntry(-1, 31), -1) { ErasedEnd = 60 });
        Assert.Equal((31L, 60L, FollowerStatus.Aligned), (log.LogEndOffset, log.ErasedEndOffset, follower.Status));
        Assert.Equal(PushAnswerOutcome.Accepted, Sent<PushAnswer>()[^1].Outcome);
        // The log start lies within the first batch that the leader still has.
        follower.OnPush(Heartbeat(epoch: 4) with { LogStart = 31, PreviousEnd = 31, Batches = [new(30, 33, 3, new byte[3])], EndOffset = 33,
            Epochs = [new(3, 31)] });
        Assert.Equal((31L, 33L, 60L), (log.LogStartOffset, log.LogEndOffset, log.ErasedEndOffset));
        follower.OnPush(Heartbeat(epoch: 4) with { LogStart = 50 });
        Assert.Equal((50L, 50L, 60L, FollowerStatus.Aligned),
            (log.LogStartOffset, log.LogEndOffset, log.ErasedEndOffset, follower.Status));
    }

    [Theory]
    [InlineData(8, 20, 2, 20)] // Ends below what the leader erased, after the cut.
    [InlineData(12, 11, 2, 11)]
    [InlineData(12, 10, 10, 0)] // Took all of it before.
    [InlineData(12, 0, 10, 0)]
    public void Follower_that_ends_below_what_the_leader_erased_begins_again(long leaderEnd, long erasedEnd, long logEnd, long ownErasedEnd)
    {
        var (log, follower) = Follow((3, 10));
        // Its own mark says nothing of what it lacks.
        log.NoteErased(5);
        log.NoteErased(ownErasedEnd);
        follower.OnPush(Heartbeat(epoch: 4) with { LogStart = 2 });
        Assert.Equal(10, log.LogEndOffset);
        follower.OnAlignAnswer(new AlignAnswer(TopicId, 4, 1, 0, 3, new LeaderEpochEntry(3, leaderEnd), -1) { ErasedEnd = erasedEnd });
        Assert.Equal((logEnd, Math.Max(5, ownErasedEnd), FollowerStatus.Aligned), (log.LogEndOffset, log.ErasedEndOffset, follower.Status));
        Assert.Equal((PushAnswerOutcome.Accepted, logEnd), (Sent<PushAnswer>()[^1].Outcome, Sent<PushAnswer>()[^1].LogEnd));
        Assert.Empty(_effects.OfType<ReportLoss>());
        Assert.Equal(FollowerStatus.Aligned, follower.Status);
    }

    /// <summary>The copy lacks what its leader had erased, and may lack more of what the next leader erased.</summary>
    [Fact]
    public void Interrupted_catch_up_begins_again_with_each_alignment_below_what_the_leader_erased()
    {
        var (log, follower) = Aligned((3, 10));
        for (var session = 2; session <= 3; session++)
        {
            var push = Heartbeat(epoch: 5) with { Session = session };
            follower.OnPush(push);
            follower.OnAlignAnswer(new AlignAnswer(TopicId, 5, session, 0, Sent<AlignRequest>()[^1].AskedEpoch, new LeaderEpochEntry(
                Sent<AlignRequest>()[^1].AskedEpoch, log.LogEndOffset), -1) { ErasedEnd = 20 });
            Assert.Equal((0L, 20L), (log.LogEndOffset, log.ErasedEndOffset));
            follower.OnPush(push with { Batches = [new(0, 8, 5, new byte[8])], EndOffset = 8, Epochs = [new(5, 0)] });
            Assert.Equal(8, log.LogEndOffset);
        }
    }

    [Fact]
    public void Raised_log_start_is_adopted()
    {
        var (log, follower) = Aligned((3, 10));
        follower.OnPush(Heartbeat(epoch: 5) with { LogStart = 6 });
        Assert.Equal(6, log.LogStartOffset);
    }

    [Fact]
    public void Follower_truncates_below_its_high_watermark_only_after_an_unclean_election()
    {
        var (log, follower) = Follow((3, 10));
        log.SetHighWatermark(9, 3);
        follower.OnPush(Heartbeat(epoch: 4));
        follower.OnAlignAnswer(new AlignAnswer(TopicId, 4, 1, 0, 3, new LeaderEpochEntry(3, 5), UncleanEpoch: 3));
        Assert.Equal((FollowerStatus.Offline, 10L), (follower.Status, log.LogEndOffset));
        (log, follower) = Follow((3, 10));
        log.SetHighWatermark(9, 3);
        follower.OnPush(Heartbeat(epoch: 4));
        follower.OnAlignAnswer(new AlignAnswer(TopicId, 4, 1, 0, 3, new LeaderEpochEntry(3, 5), UncleanEpoch: 4));
        Assert.Equal((FollowerStatus.Aligned, 5L), (follower.Status, log.LogEndOffset));
        Assert.Equal(new ReportLoss(4, 5, 9), Assert.Single(_effects.OfType<ReportLoss>()));
    }

    [Fact]
    public void Follower_truncated_below_its_compacted_prefix_starts_again()
    {
        var (log, follower) = Follow((3, 10));
        log.CompactedEndOffset = 8;
        follower.OnPush(Heartbeat(epoch: 4));
        follower.OnAlignAnswer(new AlignAnswer(TopicId, 4, 1, 0, 3, new LeaderEpochEntry(3, 5), UncleanEpoch: 4));
        Assert.Equal((0L, FollowerStatus.Aligned), (log.LogEndOffset, follower.Status));
    }

    private (MemoryReplicaLog Log, FollowerReplica Follower) Follow(params (int Epoch, int Records)[] history)
    {
        var log = MemoryReplicaLog.Of(history);
        return (log, new FollowerReplica(ReplicationRules.Shipped, log, B, TopicId, _effects));
    }

    /// <summary>Creates an aligned follower of broker 0 in epoch 5.</summary>
    private (MemoryReplicaLog Log, FollowerReplica Follower) Aligned(params (int Epoch, int Records)[] history)
    {
        var (log, follower) = Follow(history);
        follower.OnPush(Heartbeat(epoch: 5));
        follower.OnAlignAnswer(new AlignAnswer(TopicId, 5, 1, 0, history[^1].Epoch,
            new LeaderEpochEntry(history[^1].Epoch, log.LogEndOffset), -1));
        Assert.Equal(FollowerStatus.Aligned, follower.Status);
        return (log, follower);
    }

    private static Push Heartbeat(int epoch) =>
        new(TopicId, epoch, Session: 1, Leader: 0, Sequence: 1, PreviousEnd: 0, PreviousEpoch: -1, Batches: [], EndOffset: 0,
            Epochs: [], LogStart: 0, HighWatermark: 0, LeaderEnd: 10, SentAt: 0);

    private List<T> Sent<T>() => [.. _effects.OfType<SendMessage>().Select(s => s.Message).OfType<T>()];
}
