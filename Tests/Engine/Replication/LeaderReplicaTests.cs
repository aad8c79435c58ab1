using OrleansMq.Replication;
using static OrleansMq.Tests.Engine.Replication.Members;

namespace OrleansMq.Tests.Engine.Replication;

public sealed class LeaderReplicaTests
{
    private static readonly LeaderOptions Options = new() { LeaseMs = 400, ResendMs = 200, MaxUnansweredPushes = 2, AppendTimeoutMs = 1_000,
        MaxLagMs = 100_000 };
    private readonly List<ReplicationEffect> _effects = [];
    private readonly MemoryReplicaLog _log = MemoryReplicaLog.Of((4, 10));

    [Fact]
    public void Leader_serves_only_after_its_claim_is_stored()
    {
        var leader = Start(Stored([A, B, C]));
        Assert.Equal(ErrorCode.NotLeaderOrFollower, leader.RefuseAppend(waitForAll: true, 0));
        Assert.Equal(long.MinValue, leader.LeaseUntil);
        Claim(leader, now: 5);
        Assert.Equal((LeaderStatus.Leading, 5, 10L), (leader.Status, leader.Epoch, leader.EpochStart));
        Assert.Equal(5, _log.Fence);
        Assert.Equal([1, 2], Taken<SendMessage>().Select(s => s.To));
    }

    [Theory]
    [InlineData("1", nameof(ClaimOutcome.StoreInThePast))] // The store was restored from a backup.
    [InlineData("2", nameof(ClaimOutcome.NotEligible))] // The choice was made from a stale state.
    public void Replica_chosen_by_an_epoch_before_its_disks_reads_the_store_and_never_leads(string stored, string expected)
    {
        _log.RaiseFence(6);
        var leader = New();
        leader.Start(new StoredPartitionState(Stored([A, B, C]), "1"), 0);
        Assert.Equal(LeaderStatus.Reading, leader.Status);
        leader.OnStateRead(Assert.Single(Taken<ReadState>()).Operation,
            Stored([A, B, C]) with { LeaderEpoch = stored == "1" ? 4 : 6, Leader = 1 }, stored, 1);
        Assert.Equal((LeaderStatus.Stopped, expected), (leader.Status, leader.Claim.ToString()));
        Assert.Empty(Taken<WriteState>());
    }

    [Fact]
    public void Chosen_replica_claims_with_one_write_over_the_state_of_the_choice()
    {
        var leader = New();
        leader.Start(new StoredPartitionState(Stored([A, B, C]), "1"), 0);
        Assert.Empty(Taken<ReadState>());
        var write = Assert.Single(Taken<WriteState>());
        Assert.Equal((5, "1"), (write.State.LeaderEpoch, write.ETag));
        // Another claimant was faster.
        leader.OnStateFailed(write.Operation);
        leader.Tick(1);
        leader.OnStateRead(Assert.Single(Taken<ReadState>()).Operation,
            Stored([A, B, C]) with { LeaderEpoch = 5, Leader = 1, LeaderToken = Guid.NewGuid() }, "2", 2);
        Assert.Equal(LeaderStatus.Stopped, leader.Status);
        Assert.Empty(Taken<WriteState>());
    }

    [Fact]
    public void Append_completes_when_all_in_sync_replicas_have_it()
    {
        var leader = Lead(B, C);
        Append(leader, waiter: 7, now: 10);
        Answer(leader, B, end: 11, now: 12);
        Assert.Empty(Taken<CompleteAppend>());
        Answer(leader, C, end: 11, now: 13);
        Assert.Equal(new CompleteAppend(7, ErrorCode.None, 10), Assert.Single(Taken<CompleteAppend>()));
        Assert.Equal(11, leader.HighWatermark);
    }

    [Fact]
    public void Append_that_needs_no_flush_completes_at_the_unflushed_ends_before_an_earlier_one_that_does()
    {
        var leader = Lead(B, C);
        Append(leader, waiter: 7, now: 10);
        Append(leader, waiter: 8, now: 10, Acks.Replicated);
        Answer(leader, B, end: 12, now: 12, counted: 10);
        Assert.Empty(Taken<CompleteAppend>());
        Answer(leader, C, end: 12, now: 13, counted: 10);
        Assert.Equal(new CompleteAppend(8, ErrorCode.None, 11) { Level = Acks.Replicated }, Assert.Single(Taken<CompleteAppend>()));
        Assert.Equal(10, leader.HighWatermark);
        Answer(leader, B, end: 12, now: 14);
        Answer(leader, C, end: 12, now: 14);
        Assert.Equal(new CompleteAppend(7, ErrorCode.None, 10), Assert.Single(Taken<CompleteAppend>()));
        Assert.Equal(12, leader.HighWatermark);
    }

    [Fact]
    public void Duplicate_completes_by_its_own_level()
    {
        var leader = Lead(B, C);
        Append(leader, waiter: 7, now: 10);
        leader.OnAppended(11, 10, isDuplicate: true, waiter: 8, Acks.Replicated);
        leader.OnAppended(11, 10, isDuplicate: true, waiter: 9, Acks.All);
        Answer(leader, B, end: 11, now: 12, counted: 10);
        Answer(leader, C, end: 11, now: 12, counted: 10);
        Assert.Equal([8], Taken<CompleteAppend>().Select(c => c.Waiter));
        Answer(leader, B, end: 11, now: 13);
        Answer(leader, C, end: 11, now: 13);
        Assert.Equal([7, 9], Taken<CompleteAppend>().Select(c => c.Waiter));
    }

    [Fact]
    public void Follower_joins_only_with_what_was_answered_without_a_flush()
    {
        var leader = Start(Stored([A, B]));
        Claim(leader, now: 0);
        Answer(leader, B, end: 10, now: 0);
        Append(leader, waiter: 7, now: 10, Acks.Replicated);
        Answer(leader, B, end: 11, now: 11, counted: 10);
        Assert.Equal([7], Taken<CompleteAppend>().Select(c => c.Waiter));
        // Its flushed end is at the high watermark.
        Answer(leader, C, end: 10, now: 12);
        leader.Tick(13);
        Assert.Empty(Taken<WriteState>());
        Answer(leader, C, end: 11, now: 14, counted: 10);
        leader.Tick(15);
        Assert.Equal([A, B, C], Assert.Single(Taken<WriteState>()).State.Isr.OrderBy(m => m.Broker));
    }

    [Fact]
    public void Follower_joins_with_its_answer_while_too_few_are_in_sync_and_else_with_a_tick()
    {
        var leader = Start(Stored([A]));
        Claim(leader, now: 0);
        Answer(leader, B, end: 10, now: 1);
        var write = Assert.Single(Taken<WriteState>());
        Assert.Equal([A, B], write.State.Isr.OrderBy(m => m.Broker));
        leader.OnStateWritten(write.Operation, "3", 2);
        Answer(leader, C, end: 10, now: 3);
        Assert.Empty(Taken<WriteState>());
        leader.Tick(4);
        Assert.Equal([A, B, C], Assert.Single(Taken<WriteState>()).State.Isr.OrderBy(m => m.Broker));
    }

    [Fact]
    public void Append_timeout_has_an_unknown_outcome()
    {
        var leader = Lead(B, C);
        Append(leader, waiter: 7, now: 10);
        Append(leader, waiter: 8, now: 20);
        leader.Tick(1_011);
        Assert.Equal(new CompleteAppend(7, ErrorCode.RequestTimedOut, -1), Assert.Single(Taken<CompleteAppend>()));
    }

    [Fact]
    public void One_push_is_filled_at_a_time_and_few_are_unanswered()
    {
        var leader = Lead(B, C);
        Append(leader, waiter: 1, now: 10);
        var fill = Assert.Single(Taken<FillPush>(), f => f.To == 1);
        Assert.Equal((10L, 11L), (fill.From, fill.Limit));
        Append(leader, waiter: 2, now: 10);
        Assert.DoesNotContain(Taken<FillPush>(), f => f.To == 1);
        Filled(leader, fill, now: 11);
        var second = Assert.Single(Taken<FillPush>(), f => f.To == 1);
        Assert.Equal((11L, 12L), (second.From, second.Limit));
        Append(leader, waiter: 3, now: 12);
        Filled(leader, second, now: 12);
        // Two pushes are unanswered: the third record stays in the log until one is.
        Assert.DoesNotContain(Taken<FillPush>(), f => f.To == 1);
        Answer(leader, B, end: 11, now: 13, sequence: 2);
        Assert.Equal(12, Assert.Single(Taken<FillPush>(), f => f.To == 1).From);
    }

    [Fact]
    public void Unanswered_push_is_resent_from_the_stated_end()
    {
        var leader = Lead(B, C);
        Append(leader, waiter: 1, now: 10);
        Filled(leader, Assert.Single(Taken<FillPush>(), f => f.To == 1), now: 11);
        leader.Tick(211);
        Assert.DoesNotContain(Taken<FillPush>(), f => f.To == 1);
        leader.Tick(212);
        Assert.Equal(10, Assert.Single(Taken<FillPush>(), f => f.To == 1).From);
    }

    [Fact]
    public void Fill_is_catch_up_only_when_no_append_waits_for_the_follower()
    {
        var leader = Lead(B);
        Append(leader, waiter: 1, now: 10);
        Assert.False(Assert.Single(Taken<FillPush>(), f => f.To == 1).IsCatchUp);
        leader = Start(Stored([A, B]) with { LeaderEpoch = leader.Epoch });
        Claim(leader, now: 20);
        Answer(leader, C, end: 4, now: 21);
        Assert.True(Assert.Single(Taken<FillPush>(), f => f.To == 2).IsCatchUp);
        // Too few replicas are in sync: appends wait.
        leader = Start(Stored([A]) with { LeaderEpoch = leader.Epoch });
        Claim(leader, now: 30);
        Answer(leader, C, end: 4, now: 31);
        Assert.False(Assert.Single(Taken<FillPush>(), f => f.To == 2).IsCatchUp);
    }

    [Fact]
    public void Only_batches_without_waiting_appends_yield()
    {
        var leader = Start(Stored([A, B]));
        Claim(leader, now: 20);
        Answer(leader, B, end: 10, now: 20);
        Append(leader, waiter: 1, now: 20);
        Answer(leader, C, end: 4, now: 21);
        Taken<SendMessage>();
        foreach (var fill in Taken<FillPush>())
            Filled(leader, fill, now: 22);
        Assert.Equal([(1, PushLane.Live), (2, PushLane.CatchUp)],
            Taken<SendMessage>().Where(s => s.Message is Push { EndOffset: > 0 }).Select(s => (s.To, s.Lane)).Order());
        leader.Tick(200);
        Assert.All(Taken<SendMessage>(), s => Assert.Equal(PushLane.Live, s.Lane));
    }

    [Fact]
    public void Replica_that_would_never_get_in_sync_stops_yielding()
    {
        var leader = Start(Stored([A, B]));
        Claim(leader, now: 0);
        Answer(leader, B, end: 10, now: 0);
        Answer(leader, C, end: 0, now: 0);
        leader.Tick(1);
        var fill = Assert.Single(Taken<FillPush>(), f => f.To == 2);
        Assert.Equal(PushLane.CatchUp, fill.Lane);
        // Appends as much as the limit.
        for (var waiter = 1; waiter <= 5; waiter++)
            Append(leader, waiter, now: 2);
        Answer(leader, C, end: 5, now: 3);
        leader.Tick(1_001);
        Filled(leader, fill, now: 1_002);
        Assert.Equal(PushLane.Hurried, Assert.Single(Taken<FillPush>(), f => f.To == 2).Lane);
    }

    [Fact]
    public void Fill_overtaken_by_retention_or_another_session_is_not_sent()
    {
        var leader = Lead(B, C);
        Append(leader, waiter: 1, now: 10);
        var fill = Assert.Single(Taken<FillPush>(), f => f.To == 1);
        _log.MoveLogStart(11);
        Filled(leader, fill, now: 11);
        Assert.DoesNotContain(Taken<SendMessage>(), s => s.Message is Push { EndOffset: > 0 });
    }

    [Fact]
    public void Heartbeat_is_sent_only_without_other_pushes()
    {
        var leader = Lead(B, C);
        leader.Tick(99);
        Assert.Empty(Taken<SendMessage>());
        Append(leader, waiter: 1, now: 99);
        Filled(leader, Assert.Single(Taken<FillPush>(), f => f.To == 1), now: 99);
        Taken<SendMessage>();
        leader.Tick(102);
        Assert.Equal(2, Assert.Single(Taken<SendMessage>()).To);
    }

    [Fact]
    public void Lease_starts_when_the_request_was_sent()
    {
        var leader = Lead(B, C);
        Assert.Equal(400, leader.LeaseUntil);
        Answer(leader, B, end: 10, now: 300, sentAt: 100);
        Assert.Equal(400, leader.LeaseUntil);
        Answer(leader, C, end: 10, now: 300, sentAt: 200);
        Assert.Equal(500, leader.LeaseUntil);
        Assert.Equal(ErrorCode.None, leader.RefuseAppend(waitForAll: false, 500));
        Assert.Equal(ErrorCode.NotLeaderOrFollower, leader.RefuseAppend(waitForAll: false, 501));
    }

    [Fact]
    public void Lone_leader_needs_no_acknowledgement()
    {
        var leader = Start(Stored([A]));
        Claim(leader, now: 0);
        Assert.Equal(long.MaxValue, leader.LeaseUntil);
        leader.Stop("over");
        Assert.Equal(long.MinValue, leader.LeaseUntil);
    }

    [Fact]
    public void Resigning_leader_drains_first_and_names_its_successor()
    {
        var leader = Lead(B, C);
        Append(leader, waiter: 1, now: 10);
        leader.Resign(2, deadline: 1_000, now: 20);
        Assert.Equal(ErrorCode.NotLeaderOrFollower, leader.RefuseAppend(waitForAll: true, 20));
        Assert.Empty(Taken<WriteState>());
        Answer(leader, B, end: 11, now: 21);
        Answer(leader, C, end: 11, now: 22);
        var write = Assert.Single(Taken<WriteState>());
        Assert.Equal((PartitionState.NoLeader, 2, Guid.Empty), (write.State.Leader, write.State.Successor, write.State.LeaderToken));
        leader.OnStateWritten(write.Operation, "3", 30);
        Assert.Equal(LeaderStatus.Stopped, leader.Status);
    }

    [Fact]
    public void Resigning_leader_without_an_answer_from_the_store_stops()
    {
        var leader = Lead(B, C);
        Append(leader, waiter: 1, now: 10);
        leader.Resign(2, deadline: 100, now: 20);
        leader.Tick(100);
        Assert.Single(Taken<WriteState>());
        leader.Tick(501);
        Assert.Equal(LeaderStatus.Stopped, leader.Status);
        Assert.Equal(ErrorCode.RequestTimedOut, Assert.Single(Taken<CompleteAppend>()).Error);
    }

    [Fact]
    public void Reassignment_contacts_added_replicas_and_answers_when_stored()
    {
        var leader = Lead(B, C);
        leader.Reassign([0, 1, 3], waiter: 9, now: 10);
        var write = Assert.Single(Taken<WriteState>());
        Assert.Empty(Taken<CompleteReassignment>());
        leader.OnStateWritten(write.Operation, "3", 11);
        Assert.Equal(new CompleteReassignment(9, ErrorCode.None), Assert.Single(Taken<CompleteReassignment>()));
        leader.Reassign([0, 0], waiter: 10, now: 12);
        Assert.Equal(ErrorCode.InvalidReplicaAssignment, Assert.Single(Taken<CompleteReassignment>()).Error);
    }

    [Fact]
    public void Answers_of_another_session_do_not_count()
    {
        var leader = Lead(B, C);
        Append(leader, waiter: 1, now: 10);
        Answer(leader, RenewedB, end: 11, now: 11);
        Answer(leader, C, end: 11, now: 12);
        Answer(leader, B, end: 11, now: 13);
        Assert.Empty(Taken<CompleteAppend>());
    }

    [Fact]
    public void Deletion_is_done_when_every_replica_that_may_lead_has_done_it()
    {
        var leader = Start(Stored([A, B]) with { Elr = [C] });
        Claim(leader, now: 0);
        leader.OnDeleted(5, waiter: 7, now: 1);
        Assert.Equal([1, 2], Taken<SendMessage>().TakeLast(2).Select(send => send.To));
        Answer(leader, B, end: 10, now: 2, logStart: 6);
        Answer(leader, C, end: 10, now: 3, logStart: 4);
        Assert.Empty(Taken<CompleteDeletion>());
        Answer(leader, C, end: 10, now: 4, sequence: 2, logStart: 5);
        Assert.Equal(new CompleteDeletion(7, ErrorCode.None), Assert.Single(Taken<CompleteDeletion>()));
    }

    /// <summary>A follower that begins again may start lower than before. Answers to one push may arrive in any order.</summary>
    [Theory]
    [InlineData(3, 4L)]
    [InlineData(2, 4L)]
    [InlineData(2, 6L, 4L)]
    public void Log_start_of_a_follower_is_the_one_stated_last(long sequence, params long[] starts)
    {
        var leader = Start(Stored([A, B]));
        Claim(leader, now: 0);
        Answer(leader, B, end: 10, now: 1, sequence: 2, logStart: 6);
        foreach (var start in starts)
            Answer(leader, B, end: 10, now: 2, sequence, logStart: start);
        Answer(leader, B, end: 10, now: 2, sequence: 1, logStart: 9);
        leader.OnDeleted(5, waiter: 7, now: 3);
        Assert.Empty(Taken<CompleteDeletion>());
        Assert.Equal([1], leader.BrokersWithRecordsBelow(5));
        Answer(leader, B, end: 10, now: 4, sequence: 4, logStart: 5);
        Assert.Equal(new CompleteDeletion(7, ErrorCode.None), Assert.Single(Taken<CompleteDeletion>()));
        Assert.Empty(leader.BrokersWithRecordsBelow(5));
    }

    [Fact]
    public void Log_start_of_a_follower_before_its_alignment_does_not_count()
    {
        var leader = Start(Stored([A, B]));
        Claim(leader, now: 0);
        leader.OnPushAnswer(new PushAnswer(TopicId, leader.Epoch, B.Broker, B, 1, PushAnswerOutcome.NotAligned, leader.Epoch, 12, 12, 0)
            { LogStart = 11 }, 1);
        leader.OnDeleted(5, waiter: 7, now: 2);
        Assert.Empty(Taken<CompleteDeletion>());
        // Its log began above what it may keep, so it has begun again at the leader's start.
        Answer(leader, B, end: 4, now: 3, logStart: 4);
        Assert.Empty(Taken<CompleteDeletion>());
        Answer(leader, B, end: 10, now: 4, sequence: 2, logStart: 5);
        Assert.Equal(new CompleteDeletion(7, ErrorCode.None), Assert.Single(Taken<CompleteDeletion>()));
    }

    [Fact]
    public void Deletion_that_a_replica_may_not_know_of_has_an_unknown_outcome()
    {
        var leader = Lead(B, C);
        leader.OnDeleted(5, waiter: 7, now: 1);
        Answer(leader, RenewedB, end: 10, now: 2, logStart: 5);
        Answer(leader, C, end: 10, now: 2, logStart: 5);
        leader.Tick(1_001);
        Assert.Empty(Taken<CompleteDeletion>());
        leader.Tick(1_002);
        Assert.Equal(new CompleteDeletion(7, ErrorCode.RequestTimedOut), Assert.Single(Taken<CompleteDeletion>()));
        leader.OnDeleted(5, waiter: 8, now: 1_003);
        leader.Stop("over");
        Assert.Equal(new CompleteDeletion(8, ErrorCode.RequestTimedOut), Assert.Single(Taken<CompleteDeletion>()));
        leader.OnDeleted(5, waiter: 9, now: 1_004);
        Assert.Equal(new CompleteDeletion(9, ErrorCode.RequestTimedOut), Assert.Single(Taken<CompleteDeletion>()));
    }

    /// <summary>One that may lead holds all below the high watermark, and nothing may make it give that up.</summary>
    [Fact]
    public void Only_a_replica_that_may_not_lead_learns_what_was_erased()
    {
        _log.NoteErased(8);
        var leader = Start(Stored([A, B]));
        Claim(leader, now: 0);
        Assert.Equal(0, ErasedEndFor(leader, B));
        Assert.Equal(8, ErasedEndFor(leader, C));
        leader = Start(Stored([A]) with { LeaderEpoch = leader.Epoch, Elr = [C] });
        Claim(leader, now: 10);
        Assert.Equal(8, ErasedEndFor(leader, B));
        Assert.Equal(0, ErasedEndFor(leader, C));
        // One that lost its tail is another member.
        Answer(leader, B, end: 2, now: 11);
        leader.OnAlignRequest(new AlignRequest(TopicId, leader.Epoch, 1, RenewedB, 4), 11);
        leader.OnAlignRequest(new AlignRequest(TopicId, leader.Epoch, 3, RenewedB, 4), 11);
        Assert.Equal(8, ((AlignAnswer)Taken<SendMessage>()[^1].Message).ErasedEnd);
    }

    /// <summary>A late answer must not make a replica begin again that has joined since.</summary>
    [Fact]
    public void Erased_end_above_an_unclean_leaders_log_is_not_told()
    {
        _log.NoteErased(90);
        var leader = Start(Stored([A]));
        Claim(leader, now: 0);
        Assert.Equal(10, ErasedEndFor(leader, C));
    }

    [Fact]
    public void What_a_follower_has_not_taken_yet_is_not_erased_while_it_catches_up()
    {
        var leader = Start(Stored([A, B]));
        Assert.Equal(long.MaxValue, leader.EraseLimit(0));
        Claim(leader, now: 0);
        Answer(leader, B, end: 3, now: 0);
        Assert.Equal(long.MaxValue, leader.EraseLimit(0));
        Answer(leader, C, end: 6, now: 0);
        Assert.Equal(6, leader.EraseLimit(0));
        Assert.Equal(6, leader.EraseLimit(Options.MaxLagMs));
        // It does not answer any more.
        Assert.Equal(long.MaxValue, leader.EraseLimit(Options.MaxLagMs + 1));
        Answer(leader, C, end: 6, now: Options.MaxLagMs + 1, sequence: 2);
        // It began again, and would do so once more.
        _log.NoteErased(7);
        Assert.Equal(0, leader.EraseLimit(Options.MaxLagMs + 1));
    }

    [Fact]
    public void Followers_that_may_not_lead_align_again_before_records_are_erased()
    {
        var leader = Start(Stored([A, B]));
        Claim(leader, now: 0);
        Answer(leader, B, end: 10, now: 0);
        Answer(leader, C, end: 4, now: 0);
        Taken<SendMessage>();
        leader.BeforeErasing(1);
        var push = Assert.Single(Taken<SendMessage>());
        Assert.Equal((2, 3), (push.To, push.Message.Session));
        // What it answers in the former session does not count, and what was read for it is not sent.
        Answer(leader, C, end: 10, now: 2, sequence: 3);
        Taken<FillPush>();
        leader.OnPushFilled(2, 2, 4, [], 10, 2);
        Assert.Empty(Taken<SendMessage>());
        leader.OnPushAnswer(new PushAnswer(TopicId, leader.Epoch, 3, C, 3, PushAnswerOutcome.Accepted, leader.Epoch, 5, 5, 3), 3);
        Assert.Equal(5, Assert.Single(Taken<FillPush>()).From);
    }

    private long ErasedEndFor(LeaderReplica leader, ReplicaIdentity follower)
    {
        Taken<SendMessage>();
        leader.OnAlignRequest(new AlignRequest(TopicId, leader.Epoch, follower.Broker, follower, 4), 0);
        return ((AlignAnswer)Assert.Single(Taken<SendMessage>()).Message).ErasedEnd;
    }

    private LeaderReplica New() => new(ReplicationRules.Shipped, Options, _log, A, TopicId, Token, new AllBut(), _effects);

    private LeaderReplica Start(PartitionState stored)
    {
        var leader = New();
        leader.Start(known: null, 0);
        leader.OnStateRead(Assert.Single(Taken<ReadState>()).Operation, stored, "1", 0);
        return leader;
    }

    private void Claim(LeaderReplica leader, long now) => leader.OnStateWritten(Assert.Single(Taken<WriteState>()).Operation, "2", now);

    /// <summary>Leads from time 0 with all followers aligned.</summary>
    private LeaderReplica Lead(params ReplicaIdentity[] followers)
    {
        var leader = Start(Stored([A, .. followers]));
        Claim(leader, now: 0);
        foreach (var follower in followers)
            Answer(leader, follower, end: 10, now: 0);
        Taken<SendMessage>();
        return leader;
    }

    private void Append(LeaderReplica leader, long waiter, long now, Acks acks = Acks.All)
    {
        Assert.Equal(ErrorCode.None, leader.RefuseAppend(waitForAll: true, now));
        var batch = _log.Append(new byte[1], leader.Epoch);
        leader.OnAppended(batch.NextOffset, batch.BaseOffset, isDuplicate: false, waiter, acks);
        leader.AfterAppends(now);
    }

    private void Filled(LeaderReplica leader, FillPush fill, long now)
    {
        var batches = _log.Batches.Where(b => b.NextOffset > fill.From && b.BaseOffset < fill.Limit).ToArray();
        leader.OnPushFilled(fill.To, fill.Session, fill.From, batches, batches[^1].NextOffset, now);
    }

    private static void Answer(LeaderReplica leader, ReplicaIdentity follower, long end, long now, long sequence = 1,
        long? sentAt = null, long logStart = 0, long? counted = null) =>
        leader.OnPushAnswer(new PushAnswer(TopicId, leader.Epoch, follower.Broker, follower, sequence, PushAnswerOutcome.Accepted,
            leader.Epoch, end, counted ?? end,
            sentAt ?? now) { LogStart = logStart }, now);

    /// <summary>Takes the effects of a kind since the last call; the others stay.</summary>
    private List<T> Taken<T>()
        where T : ReplicationEffect
    {
        var taken = _effects.OfType<T>().ToList();
        _effects.RemoveAll(e => e is T);
        return taken;
    }
}
