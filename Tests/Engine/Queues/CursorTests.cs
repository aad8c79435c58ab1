using OrleansMq.Queues;

namespace OrleansMq.Tests.Engine.Queues;

/// <summary>The rules of a cursor, each by hand. The first record is at offset 1: the cursor's creation is at 0.</summary>
public sealed class CursorTests
{
    private static readonly DeadLetterTarget Target = new(Guid.NewGuid(), 3);

    [Fact]
    public void Records_are_handed_out_in_order_up_to_the_credit()
    {
        var rig = new CursorRig();
        rig.Produce(5);
        rig.Attach(1, credit: 2);
        var token = rig.Deliveries[^1].Lock;
        Assert.Equal([(1L, 1L), (1L, 2L)], rig.Delivered());
        rig.Request(new Settle(100, token, OffsetRange.Of(1)));
        Assert.Equal([3L], rig.Delivered().Select(d => d.Offset));
    }

    [Fact]
    public void Nothing_is_handed_out_above_the_reservation_in_force()
    {
        var rig = new CursorRig();
        rig.Produce(1);
        rig.HoldsAppends = true;
        rig.Attach(1, credit: 5);
        Assert.Empty(rig.Deliveries);
        var delta = Assert.IsType<CursorDelta>(rig.Appends[^1].Transitions.Single());
        Assert.Equal(1 + Cursor.ReservationAhead, delta.DeliveredUpTo);
        rig.HoldsAppends = false;
        rig.Append(rig.Appends[^1]);
        Assert.Single(rig.Delivered());
    }

    [Fact]
    public void Settlement_is_answered_when_it_is_in_force_and_credit_returns_at_once()
    {
        var rig = new CursorRig();
        rig.Produce(3);
        rig.Attach(1, credit: 1);
        var token = Token(rig);
        rig.HoldsCommits = true;
        Assert.Null(rig.Request(new Settle(100, token, OffsetRange.Of(1))));
        Assert.Equal([2L], rig.Delivered().Select(d => d.Offset));
        rig.Commit();
        Assert.Equal(CursorOutcome.Done, rig.Answers[^1].Outcome);
        Assert.Equal(2, rig.Cursor.State!.Floor);
    }

    [Fact]
    public void Old_lock_does_nothing_and_says_so()
    {
        var rig = new CursorRig();
        rig.Produce(1);
        rig.Attach(1, credit: 1);
        var token = Token(rig);
        rig.Handle(new Detach(1, IsFailure: true));
        Assert.Equal(CursorOutcome.InvalidLock, rig.Request(new Settle(100, token, OffsetRange.Of(1))));
        rig.Attach(2, credit: 1);
        var next = Token(rig);
        Assert.Equal(CursorOutcome.InvalidLock, rig.Request(new Settle(101, token, OffsetRange.Of(1))));
        Assert.Equal(CursorOutcome.Done, rig.Request(new Settle(102, next, OffsetRange.Of(1))));
        Assert.Equal(CursorOutcome.InvalidLock, rig.Request(new Settle(103, next, OffsetRange.Of(1))));
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void Detachment_is_answered_when_all_that_its_consumer_gave_back_is_in_force(bool isReleasedBefore)
    {
        var rig = new CursorRig();
        rig.Produce(2);
        rig.Attach(1, credit: 1);
        rig.Attach(2, credit: 1);
        var token = rig.Deliveries.Single(delivery => delivery.Attachment == 1).Lock;
        rig.HoldsCommits = true;
        if (isReleasedBefore)
            rig.Handle(new Release(CursorRequest.NoAnswer, token, OffsetRange.Of(1), IsFailure: false));
        // Of another consumer nothing returns.
        Assert.Equal(CursorOutcome.Done, rig.Request(new Detach(3, IsFailure: false, 100)));
        Assert.Null(rig.Request(new Detach(1, IsFailure: false, 101)));
        rig.Commit();
        Assert.Equal([(100L, CursorOutcome.Done), (101L, CursorOutcome.Done)],
            rig.Answers.Where(static answer => answer.RequestId >= 100).Select(static answer => (answer.RequestId, answer.Outcome)));
        Assert.Equal(CursorOutcome.Done, rig.Request(new Detach(1, IsFailure: false, 102)));
    }

    [Fact]
    public void Request_for_several_records_does_all_or_nothing()
    {
        var rig = new CursorRig();
        rig.Produce(3);
        rig.Attach(1, credit: 3);
        var token = Token(rig);
        rig.Request(new Settle(100, token, OffsetRange.Of(2)));
        Assert.Equal(CursorOutcome.InvalidLock, rig.Request(new Settle(101, token, new OffsetRange(1, 3))));
        Assert.Equal(CursorOutcome.Done, rig.Request(new Settle(102, token, OffsetRange.Of(3))));
        Assert.False(rig.Cursor.State!.IsSettled(1));
    }

    [Fact]
    public void Returned_record_comes_before_later_ones_with_its_counts()
    {
        var rig = new CursorRig();
        rig.Produce(4);
        rig.Attach(1, credit: 2, isWindow: false);
        var token = Token(rig);
        rig.Request(new Release(100, token, OffsetRange.Of(1), IsFailure: true));
        rig.Delivered();
        rig.Handle(new GrantCredit(1, 2));
        var records = rig.Deliveries.SelectMany(d => d.Records).ToList();
        Assert.Equal(new DeliveredRecord(1, new DeliveryCounts(2, 1), IsRedelivered: true), records[0]);
        Assert.Equal(new DeliveredRecord(3, new DeliveryCounts(1, 0), IsRedelivered: false), records[1]);
    }

    [Fact]
    public void Release_that_does_not_count_leaves_the_counts_as_they_were_also_at_the_next_leader()
    {
        var rig = new CursorRig();
        rig.Produce(1);
        rig.Attach(1, credit: 1);
        rig.Request(new Release(rig.NextId, Token(rig), OffsetRange.Of(1), IsFailure: true));
        rig.Request(new Release(rig.NextId, Token(rig), OffsetRange.Of(1), IsFailure: false));
        for (var i = 0; i < 3; i++)
        {
            Assert.Equal([new DeliveredRecord(1, new DeliveryCounts(3, 1), IsRedelivered: true)], rig.Deliveries[^1].Records);
            Release(rig);
        }
        rig.FailOver();
        rig.Commit();
        Assert.Equal(new DeliveryCounts(2, 1), rig.Cursor.State!.CountsOf(1));
        rig.Attach(2, credit: 1);
        for (var i = 0; i < 3; i++)
        {
            Assert.Equal([new DeliveredRecord(1, new DeliveryCounts(3, 1), IsRedelivered: true)], rig.Deliveries[^1].Records);
            Release(rig);
        }
        // A failure counts.
        rig.Request(new Release(rig.NextId, Token(rig), OffsetRange.Of(1), IsFailure: true) { IsUncounted = true });
        Assert.Equal(new DeliveryCounts(4, 2), rig.Deliveries[^1].Records[0].Counts);

        static void Release(CursorRig rig) => Assert.Equal(CursorOutcome.Done,
            rig.Request(new Release(rig.NextId, Token(rig), OffsetRange.Of(1), IsFailure: false) { IsUncounted = true }));
    }

    [Fact]
    public void First_delivery_counts_also_where_its_release_does_not()
    {
        var rig = new CursorRig();
        rig.Produce(1);
        rig.Attach(1, credit: 1);
        for (var i = 0; i < 3; i++)
            rig.Request(new Release(rig.NextId, Token(rig), OffsetRange.Of(1), IsFailure: false) { IsUncounted = true });
        Assert.Equal([new DeliveredRecord(1, new DeliveryCounts(2, 0), IsRedelivered: true)], rig.Deliveries[^1].Records);
    }

    [Fact]
    public void Record_whose_release_does_not_count_holds_the_later_ones_of_its_key_back_also_at_the_next_leader()
    {
        var rig = new CursorRig(new CursorConfiguration { Name = "c", IsOrderedByKey = true }) { KeyOf = static _ => 7 };
        rig.Produce(2);
        rig.Attach(1, credit: 10);
        var first = rig.Deliveries[^1];
        Assert.Equal([(1L, 1L)], rig.Delivered());
        rig.Request(new Release(rig.NextId, first.Lock, OffsetRange.Of(1), IsFailure: false, DelayMs: 100) { IsUncounted = true });
        rig.FailOver();
        rig.Commit();
        rig.Attach(2, credit: 10);
        Assert.Empty(rig.Delivered());
        rig.PassTime(100);
        Assert.Equal([(2L, 1L)], rig.Delivered());
    }

    [Fact]
    public void Record_whose_release_does_not_count_is_not_at_its_limit()
    {
        var rig = new CursorRig(new CursorConfiguration { Name = "c", MaxDeliveries = 2 });
        rig.Produce(1);
        rig.Attach(1, credit: 1);
        for (var i = 0; i < 5; i++)
            rig.Request(new Release(rig.NextId, Token(rig), OffsetRange.Of(1), IsFailure: false) { IsUncounted = true });
        Assert.Equal(2, rig.Deliveries[^1].Records[0].Counts.Deliveries);
        rig.Request(new Release(rig.NextId, Token(rig), OffsetRange.Of(1), IsFailure: false));
        Assert.Equal(1, rig.Cursor.State!.Total(SettlementCause.DeliveryLimit));
    }

    [Fact]
    public void Failure_is_deferred_by_the_backoff_schedule_and_comes_when_its_time_has()
    {
        var rig = new CursorRig(new CursorConfiguration { Name = "c", Backoff = new BackoffSchedule(500) });
        rig.Produce(1);
        rig.Attach(1, credit: 1);
        rig.Request(new Release(100, Token(rig), OffsetRange.Of(1), IsFailure: true));
        Assert.Empty(rig.Delivered());
        Assert.Equal(1_500, rig.WakeAt);
        rig.PassTime(500);
        Assert.Single(rig.Delivered());
    }

    [Fact]
    public void Ended_lock_is_a_stored_failure()
    {
        var rig = new CursorRig();
        rig.Produce(1);
        rig.Attach(1, credit: 1, lockMs: 300);
        rig.Delivered();
        Assert.Equal(1_300, rig.WakeAt);
        rig.PassTime(300);
        Assert.Equal(new DeliveryCounts(1, 1), rig.Log.Cursors[0].CountsOf(1));
        Assert.Equal(new DeliveryCounts(2, 1), rig.Deliveries.Single().Records.Single().Counts);
    }

    [Fact]
    public void Renewed_lock_begins_anew()
    {
        var rig = new CursorRig();
        rig.Produce(1);
        rig.Attach(1, credit: 1, lockMs: 300);
        var token = Token(rig);
        rig.PassTime(200);
        Assert.Equal(CursorOutcome.Done, rig.Request(new Renew(100, token, OffsetRange.Of(1))));
        rig.PassTime(200);
        Assert.Empty(rig.Deliveries);
        rig.PassTime(100);
        Assert.Single(rig.Deliveries);
    }

    [Fact]
    public void Record_at_its_limit_is_dropped_and_counted_without_a_target()
    {
        var rig = new CursorRig(new CursorConfiguration { Name = "c", MaxDeliveries = 2 });
        rig.Produce(1);
        rig.Attach(1, credit: 1);
        rig.Request(new Release(100, Token(rig), OffsetRange.Of(1), IsFailure: false));
        rig.Request(new Release(101, Token(rig), OffsetRange.Of(1), IsFailure: false));
        Assert.Empty(rig.Delivered());
        Assert.Equal(1, rig.Cursor.State!.Total(SettlementCause.DeliveryLimit));
        Assert.True(rig.Cursor.State.IsSettled(1));
    }

    [Fact]
    public void Dead_letter_is_published_when_its_intent_is_in_force_and_settled_when_it_is_confirmed()
    {
        var rig = new CursorRig(new CursorConfiguration { Name = "c", DeadLetterTarget = Target });
        rig.Produce(1);
        rig.Attach(1, credit: 1);
        var token = Token(rig);
        rig.HoldsCommits = true;
        rig.Request(new Reject(100, token, OffsetRange.Of(1)));
        Assert.Empty(rig.Publications);
        rig.Commit();
        Assert.Equal(CursorOutcome.Done, rig.Answers[^1].Outcome);
        var publication = rig.Publications.Single();
        Assert.Equal((Target, 0, 1), (publication.Target, publication.Intents[0].Sequence, publication.Intents[0].Offset));
        Assert.False(rig.Cursor.State!.IsSettled(1));

        rig.HoldsCommits = false;
        rig.Handle(new DeadLettersFailed(publication.Number));
        rig.PassTime(1_000);
        Assert.Equal(publication.Intents, rig.Publications[^1].Intents);
        rig.Handle(new DeadLettersPublished(rig.Publications[^1].Number));
        Assert.Equal((1, 0), (rig.Cursor.State.Total(SettlementCause.DeadLettered), rig.Cursor.State.Intents.Count));
        Assert.True(rig.Cursor.State.IsSettled(1));
    }

    [Fact]
    public void Next_leader_finishes_the_dead_letter_and_never_hands_it_out()
    {
        var rig = new CursorRig(new CursorConfiguration { Name = "c", DeadLetterTarget = Target });
        rig.Produce(2);
        rig.Attach(1, credit: 1, isWindow: false);
        rig.Request(new Reject(100, Token(rig), OffsetRange.Of(1)));
        var first = rig.Publications.Single();
        rig.FailOver();
        rig.Attach(2, credit: 9);
        rig.Commit();
        Assert.Equal(first.Intents, rig.Publications[^1].Intents);
        Assert.DoesNotContain(rig.Delivered(), d => d.Offset == 1);
        rig.Handle(new DeadLetterTargetGone(rig.Publications[^1].Number));
        Assert.Equal(1, rig.Cursor.State!.Total(SettlementCause.Rejected));
    }

    [Fact]
    public void New_leader_waits_for_its_epoch_and_the_lease_before_it()
    {
        var rig = new CursorRig();
        rig.Produce(2);
        rig.Attach(1, credit: 1);
        var old = Token(rig);
        rig.FailOver(handOutFrom: 2_000);
        rig.Attach(2, credit: 2);
        Assert.Equal(CursorOutcome.NotReady, rig.Request(new Settle(100, old, OffsetRange.Of(1))));
        rig.Commit();
        Assert.Empty(rig.Delivered());
        Assert.Equal(2_000, rig.WakeAt);
        rig.PassTime(1_000);
        Assert.All(rig.Deliveries.SelectMany(d => d.Records), r => Assert.True(r.IsRedelivered));
        Assert.Equal([(2L, 1L), (2L, 2L)], rig.Delivered());
        Assert.Equal(CursorOutcome.InvalidLock, rig.Request(new Settle(101, old, OffsetRange.Of(1))));
    }

    [Theory]
    [InlineData(500, true, 500)]
    [InlineData(500, false, 900)]
    [InlineData(1_000, false, 1_000)]
    public void New_leader_waits_for_every_earlier_lease(long predecessors, bool isPredecessorGone, long expected) =>
        Assert.Equal(expected, CursorRules.Shipped.HandOutFrom(predecessors, isPredecessorGone, leaseEnd: 900));

    [Fact]
    public void Without_lease_nothing_is_handed_out_and_the_lock_clock_stands()
    {
        var rig = new CursorRig();
        rig.Produce(1);
        rig.FailOver(hasLease: false);
        rig.Attach(1, credit: 1, lockMs: 300);
        rig.Commit();
        Assert.Empty(rig.Deliveries);
        rig.Handle(new ExtendLease(rig.Now + 100));
        Assert.Equal([1L], rig.Delivered().Select(d => d.Offset));
        rig.PassTime(10_000);
        rig.Handle(new ExtendLease(long.MaxValue));
        // 200 ms of the lock are left.
        Assert.Empty(rig.Deliveries);
        Assert.Equal(rig.Now + 200, rig.WakeAt);
        rig.PassTime(200);
        Assert.Equal([1L], rig.Delivered().Select(d => d.Offset));
    }

    [Fact]
    public void Refused_append_is_repeated_and_stops_hand_out_and_lock_clock_meanwhile()
    {
        var rig = new CursorRig();
        rig.Produce(3);
        rig.Attach(1, credit: 1, lockMs: 300);
        var token = Token(rig);
        rig.HoldsAppends = true;
        Assert.Null(rig.Request(new Settle(100, token, OffsetRange.Of(1))));
        rig.Delivered();
        rig.Handle(new TransitionsRefused(rig.Appends[^1].Number));
        rig.Handle(new GrantCredit(1, 5));
        Assert.Empty(rig.Delivered());
        rig.PassTime(10_000);
        var again = rig.Appends[^1];
        rig.HoldsAppends = false;
        rig.Append(again);
        Assert.Equal(CursorOutcome.Done, rig.Answers[^1].Outcome);
        // Record 2 is held for its full time.
        Assert.Equal([3L], rig.Delivered().Select(d => d.Offset));
    }

    [Fact]
    public void Unanswered_append_stays_in_suspense_until_it_is_in_force()
    {
        var rig = new CursorRig();
        rig.Produce(2);
        rig.Attach(1, credit: 1);
        var token = Token(rig);
        rig.HoldsCommits = true;
        rig.Request(new Release(100, token, OffsetRange.Of(1), IsFailure: true));
        rig.Handle(new TransitionsUnanswered(rig.Appends[^1].Number));
        Assert.Equal(CursorOutcome.Unknown, rig.Answers[^1].Outcome);
        Assert.Equal(CursorOutcome.InvalidLock, rig.Request(new Settle(101, token, OffsetRange.Of(1))));
        rig.Handle(new GrantCredit(1, 5));
        rig.Delivered();
        rig.Commit();
        Assert.Contains(rig.Delivered(), d => d.Offset == 1);
    }

    [Fact]
    public void What_settles_by_nature_is_never_written_alone_and_returns_its_credit()
    {
        var rig = new CursorRig();
        rig.Produce(3);
        rig.Attach(1, credit: 2);
        var token = Token(rig);
        var appends = rig.Appends.Count;
        rig.Handle(new Advance(rig.End, rig.End, [OffsetRange.Of(1)]));
        Assert.Equal(appends, rig.Appends.Count);
        Assert.Equal([3L], rig.Delivered().Select(d => d.Offset));
        rig.Request(new Settle(100, token, OffsetRange.Of(2)));
        // The settled range took in the offset beside it.
        Assert.Equal(3, rig.Log.Cursors[0].Floor);
    }

    [Fact]
    public void Log_start_follows_settlements_only_behind_a_fresh_statement()
    {
        var rig = new CursorRig();
        rig.Produce(3);
        rig.Attach(1, credit: 3);
        rig.Request(new Settle(100, Token(rig), new OffsetRange(1, 3)));
        Assert.Equal(0, rig.Start);
        rig.Handle(new Restate(2));
        Assert.Equal(rig.Cursor.State!.StatementOffset, rig.Log.Cursors[0].StatementOffset);
        Assert.True(rig.Start >= 4, $"The start may move to {rig.Start}.");
        var appends = rig.Appends.Count;
        rig.Handle(new Restate(2));
        Assert.Equal(appends, rig.Appends.Count);
    }

    [Fact]
    public void Reset_ends_all_locks_and_is_answered_again_after_a_lost_answer()
    {
        var rig = new CursorRig();
        rig.Produce(3);
        rig.Attach(1, credit: 3);
        var token = Token(rig);
        rig.Request(new Settle(100, token, new OffsetRange(1, 2)));
        var begin = new Begin(101, Guid.NewGuid(), new CursorConfiguration { Name = "c" }, 1, rig.Cursor.State!.Incarnation);
        Assert.Equal(CursorOutcome.Done, rig.Request(begin));
        Assert.Equal([1L, 2L, 3L], rig.Delivered().Select(d => d.Offset));
        Assert.Equal(CursorOutcome.InvalidLock, rig.Request(new Settle(102, token, OffsetRange.Of(3))));
        var appends = rig.Appends.Count;
        Assert.Equal(CursorOutcome.Done, rig.Request(begin with { RequestId = 103 }));
        Assert.Equal(appends, rig.Appends.Count);
    }

    [Fact]
    public void Creation_that_is_repeated_late_does_not_undo_a_reset()
    {
        var rig = new CursorRig();
        var first = rig.Cursor.State!.Incarnation;
        var reset = new Begin(100, Guid.NewGuid(), new CursorConfiguration { Name = "c" }, 0, first);
        Assert.Equal(CursorOutcome.Done, rig.Request(reset));
        var creation = new Begin(101, first, new CursorConfiguration { Name = "c" }, 0);
        Assert.Equal(CursorOutcome.NoCursor, rig.Request(creation));
        var late = new Begin(102, Guid.NewGuid(), new CursorConfiguration { Name = "c" }, 0, first);
        Assert.Equal(CursorOutcome.NoCursor, rig.Request(late));
        Assert.Equal(reset.Incarnation, rig.Log.Cursors[0].Incarnation);
    }

    [Fact]
    public void Offsets_that_turn_out_to_settle_by_nature_join_what_is_settled_around_them()
    {
        var rig = new CursorRig();
        rig.Produce(20);
        rig.Attach(1, credit: 20);
        var token = Token(rig);
        foreach (var offset in new[] { 2, 4, 6, 8 })
            rig.Request(new Settle(100 + offset, token, OffsetRange.Of(offset)));
        var naturals = new[] { 1, 3, 5, 7 }.Select(offset => OffsetRange.Of(offset)).ToList();
        rig.Handle(new Advance(rig.End, rig.End, naturals));
        Assert.Equal(4, rig.Log.Cursors[0].Settled.Cost);
        rig.Request(new Settle(100, token, OffsetRange.Of(9)));
        Assert.Equal((10, true, 5), (rig.Log.Cursors[0].Floor, rig.Log.Cursors[0].Settled.IsEmpty,
            rig.Log.Cursors[0].Total(SettlementCause.Accepted)));
    }

    [Fact]
    public void Bound_of_exceptions_does_not_stop_where_only_offsets_are_left_that_settled_by_nature()
    {
        var rig = new CursorRig(new CursorConfiguration { Name = "c", MaxExceptions = 1 });
        rig.Produce(3);
        rig.Attach(1, credit: 1);
        rig.Request(new Release(100, Token(rig), OffsetRange.Of(1), IsFailure: false, DelayMs: 60_000));
        Assert.Empty(rig.Delivered());
        rig.Handle(new Advance(rig.End, rig.End, [OffsetRange.Of(1)]));
        var next = rig.Deliveries[^1].Lock;
        Assert.Equal([2L], rig.Delivered().Select(d => d.Offset));
        rig.Request(new Settle(101, next, OffsetRange.Of(2)));
        Assert.Equal((3, 0), (rig.Cursor.State!.Floor, rig.Cursor.State.Returns.Count));
    }

    [Fact]
    public void Range_of_a_lock_may_begin_with_an_offset_that_settled_by_nature_below_the_floor()
    {
        var rig = new CursorRig();
        rig.Produce(4);
        rig.Attach(1, credit: 3);
        var token = Token(rig);
        rig.Handle(new Advance(rig.End, rig.End, [OffsetRange.Of(1)]));
        rig.Request(new Settle(100, token, OffsetRange.Of(3)));
        Assert.Equal(2, rig.Cursor.State!.Floor);
        Assert.Equal(CursorOutcome.Done, rig.Request(new Renew(101, token, new OffsetRange(1, 2))));
        Assert.Equal(CursorOutcome.Done, rig.Request(new Settle(102, token, new OffsetRange(1, 2))));
        Assert.Equal(CursorOutcome.InvalidLock, rig.Request(new Settle(103, token, new OffsetRange(-1, 0))));
        Assert.Equal(CursorOutcome.InvalidLock, rig.Request(new Settle(104, token, new OffsetRange(3, 2))));
    }

    [Fact]
    public void Log_start_waits_for_a_reset_on_its_way()
    {
        var rig = new CursorRig();
        rig.Produce(4);
        rig.Attach(1, credit: 4);
        rig.Request(new Settle(100, Token(rig), new OffsetRange(1, 4)));
        rig.HoldsCommits = true;
        rig.Handle(new Restate(rig.End));
        rig.Request(new Begin(101, Guid.NewGuid(), new CursorConfiguration { Name = "c" }, 2, rig.Cursor.State!.Incarnation));
        rig.HoldsCommits = false;
        rig.HoldsAppends = true;
        rig.Commit();
        Assert.InRange(rig.Start, 0, 2);
    }

    [Fact]
    public void Record_above_a_limit_that_was_lowered_is_not_handed_out()
    {
        var rig = new CursorRig();
        rig.Produce(2);
        rig.Attach(1, credit: 1, isWindow: false);
        rig.Request(new Release(100, Token(rig), OffsetRange.Of(1), IsFailure: true));
        rig.Request(new Configure(101, new CursorConfiguration { Name = "c", MaxDeliveries = 1 }));
        rig.Handle(new GrantCredit(1, 1));
        Assert.Equal([2L], rig.Delivered().Select(d => d.Offset));
        Assert.Equal(1, rig.Cursor.State!.Total(SettlementCause.DeliveryLimit));
    }

    [Fact]
    public void Returned_offset_that_was_settled_by_nature_meanwhile_is_not_handed_out_again()
    {
        var rig = new CursorRig();
        rig.Produce(4);
        rig.Attach(1, credit: 2);
        var token = Token(rig);
        rig.HoldsCommits = true;
        rig.Request(new Settle(100, token, OffsetRange.Of(2)));
        rig.Request(new Release(101, token, OffsetRange.Of(1), IsFailure: false));
        rig.Handle(new Advance(rig.End - 1, rig.End - 1, [OffsetRange.Of(1)]));
        rig.Delivered();
        rig.HoldsCommits = false;
        rig.Commit();
        Assert.Empty(rig.Delivered());
        Assert.Empty(rig.Cursor.State!.Returns);
        Assert.Equal(2, rig.Cursor.Held);
    }

    [Fact]
    public void Offset_that_a_consumer_rejects_before_it_settles_by_nature_has_one_cause()
    {
        var rig = new CursorRig();
        rig.Produce(3);
        rig.Attach(1, credit: 3, isWindow: false);
        var token = Token(rig);
        rig.HoldsCommits = true;
        rig.Request(new Settle(100, token, OffsetRange.Of(1)));
        rig.Request(new Reject(101, token, new OffsetRange(2, 3)));
        rig.Handle(new Advance(rig.End - 1, rig.End - 1, [OffsetRange.Of(3)]));
        rig.HoldsCommits = false;
        rig.Commit();
        var settlements = rig.Appends.SelectMany(append => append.Transitions).OfType<CursorDelta>().SelectMany(delta => delta.Settlements);
        var causes = settlements.Where(s => s.Ranges.Any(range => range.First <= 3 && range.Last >= 3)).Select(s => s.Cause);
        Assert.Equal([SettlementCause.Rejected], causes);
        Assert.Equal(2, rig.Cursor.State!.Total(SettlementCause.Rejected));
    }

    [Fact]
    public void Deferred_records_that_were_purged_are_forgotten()
    {
        var rig = new CursorRig();
        rig.Produce(4_000);
        rig.Attach(1, credit: 4_000);
        rig.Request(new Release(100, Token(rig), new OffsetRange(1, 4_000), IsFailure: false, DelayMs: 60_000));
        Assert.Equal(4_000, rig.Cursor.Deferred);
        rig.Request(new Purge(101, 3_900));
        Assert.Equal(101, rig.Cursor.Deferred);
    }

    [Fact]
    public void Deferred_record_that_falls_due_as_purged_ones_are_forgotten_is_delivered()
    {
        var rig = new CursorRig();
        rig.Produce(2_001);
        rig.Attach(1, credit: 2_001, isWindow: false);
        var token = Token(rig);
        rig.Delivered();
        rig.Request(new Release(100, token, new OffsetRange(1, 2_000), IsFailure: false, DelayMs: 60_000));
        rig.Request(new Release(101, token, OffsetRange.Of(2_001), IsFailure: false, DelayMs: 10));
        rig.Handle(new GrantCredit(1, 1));
        rig.HoldsCommits = true;
        rig.Request(new Purge(102, 2_001));
        rig.Now += 20;
        rig.Commit();
        Assert.Equal([2_001L], rig.Delivered().Select(d => d.Offset));
    }

    [Fact]
    public void Large_change_is_divided_and_answered_with_its_last_part()
    {
        var rig = new CursorRig(mostPartBytes: 100);
        rig.Produce(40);
        rig.Attach(1, credit: 40);
        var token = Token(rig);
        rig.HoldsCommits = true;
        rig.Request(new Settle(100, token, OffsetRange.Of(40)));
        for (var offset = 1; offset < 40; offset += 2)
            rig.Request(new Settle(100 + offset, token, OffsetRange.Of(offset)));
        rig.Request(new Release(200, token, new OffsetRange(2, 2), IsFailure: true));
        var before = rig.Appends.Count;
        rig.HoldsCommits = false;
        rig.Commit();
        Assert.InRange(rig.Appends.Count - before, 5, 7);
        Assert.All(rig.Appends, append => Assert.InRange(CursorControlRecord.Encode(append.Transitions).Length, 1, 200));
        Assert.Equal(23, rig.Answers.Count(answer => answer.Outcome == CursorOutcome.Done));
        Assert.Equal(21, rig.Cursor.State!.Total(SettlementCause.Accepted));
        Assert.Equal(CursorStateFormat.Encode(rig.Log.Cursors[0]), CursorStateFormat.Encode(rig.Cursor.State));
    }

    [Fact]
    public void Failed_read_is_repeated_after_a_moment()
    {
        var rig = new CursorRig(new CursorConfiguration { Name = "c", IsOrderedByKey = true });
        rig.Produce(1);
        var reads = new List<ReadKeys>();
        rig.Observe = effect => reads.AddRange(effect is ReadKeys read ? [read] : []);
        rig.Attach(1, credit: 1);
        rig.Handle(new ReadFailed(reads.Single().Number));
        Assert.Equal(1_100, rig.WakeAt);
        Assert.Single(reads);
        rig.KeyOf = _ => 7;
        rig.PassTime(100);
        Assert.Equal([1L], rig.Delivered().Select(d => d.Offset));
        Assert.Equal(2, reads.Count);
    }

    [Theory]
    [InlineData(1)]
    [InlineData(3)]
    public void Keys_that_wait_with_more_records_than_are_looked_ahead_hold_no_other_back(int blocked)
    {
        // Offset 0 is the cursor's own. Each of the first keys has hundreds of records, and 500 further ones have one each.
        const int Waiting = 600;
        const int Others = 500;
        var rig = new CursorRig(new CursorConfiguration { Name = "c", IsOrderedByKey = true, LookAhead = 20 })
        {
            KeyOf = offset => offset <= Waiting ? offset % blocked : offset,
        };
        rig.Produce(Waiting + Others);
        rig.Attach(1, credit: 2_000);
        var deliveries = new Queue<Deliver>();
        var delivered = new List<long>();
        TakeAll();
        // One of each key.
        Assert.Equal(blocked + Others, delivered.Count);
        // Settled in turn, everything comes, each key in order.
        while (deliveries.TryDequeue(out var delivery))
        {
            foreach (var record in delivery.Records)
            {
                rig.Request(new Settle(rig.NextId, delivery.Lock, OffsetRange.Of(record.Offset)));
                rig.Produce(0);
                TakeAll();
            }
        }
        Assert.Equal(Enumerable.Range(1, Waiting + Others).Select(static offset => (long)offset), delivered.Order());
        foreach (var key in delivered.Where(static offset => offset <= Waiting).GroupBy(offset => offset % blocked))
            Assert.Equal(key.Order(), key);

        void TakeAll()
        {
            foreach (var delivery in rig.Deliveries)
            {
                deliveries.Enqueue(delivery);
                delivered.AddRange(delivery.Records.Select(static record => record.Offset));
            }
            rig.Deliveries.Clear();
        }
    }

    [Fact]
    public void Purge_lists_what_is_settled_and_leaves_what_is_held()
    {
        var rig = new CursorRig();
        rig.Produce(1_000);
        rig.Attach(1, credit: 2);
        var token = Token(rig);
        Assert.Equal(CursorOutcome.Done, rig.Request(new Purge(100, 901)));
        Assert.Equal(898, rig.Cursor.State!.Total(SettlementCause.Purged));
        Assert.Equal(CursorOutcome.Done, rig.Request(new Settle(101, token, new OffsetRange(1, 2))));
        Assert.Equal(901, rig.Cursor.State.Floor);
        Assert.Equal([901L, 902L], rig.Delivered().Select(d => d.Offset));
    }

    [Fact]
    public void Bound_of_exceptions_stops_new_records_and_never_those_below()
    {
        var rig = new CursorRig(new CursorConfiguration { Name = "c", MaxExceptions = 3 });
        rig.Produce(10);
        rig.Attach(1, credit: 10);
        var token = Token(rig);
        Assert.Equal(3, rig.Cursor.Held);
        rig.Request(new Settle(100, token, OffsetRange.Of(2)));
        rig.Request(new Release(101, token, OffsetRange.Of(1), IsFailure: true));
        Assert.Contains(rig.Delivered(), d => d.Offset == 1);
    }

    [Fact]
    public void Resigned_leader_answers_what_waits()
    {
        var rig = new CursorRig();
        rig.Produce(1);
        rig.Attach(1, credit: 1);
        var token = Token(rig);
        rig.HoldsAppends = true;
        rig.Request(new Settle(100, token, OffsetRange.Of(1)));
        rig.Handle(new Resign());
        Assert.Equal(CursorOutcome.Unknown, rig.Answers[^1].Outcome);
        Assert.Equal(CursorOutcome.NotLeader, rig.Request(new Settle(101, token, OffsetRange.Of(1))));
    }

    [Fact]
    public void Removal_waits_for_dead_letters_on_their_way()
    {
        var rig = new CursorRig(new CursorConfiguration { Name = "c", DeadLetterTarget = Target });
        rig.Produce(1);
        rig.Attach(1, credit: 1);
        rig.Request(new Reject(100, Token(rig), OffsetRange.Of(1)));
        var incarnation = rig.Cursor.State!.Incarnation;
        Assert.Null(rig.Request(new Remove(101, incarnation)));
        Assert.Equal(CursorOutcome.NoCursor, rig.Request(new Remove(102, Guid.NewGuid())));
        Assert.Equal(CursorOutcome.NotReady, rig.Request(new Begin(103, Guid.NewGuid(), null, 0, incarnation)));
        Assert.Equal(CursorOutcome.NotReady, rig.Request(new Purge(104, 1)));
        rig.Handle(new DeadLettersPublished(rig.Publications[^1].Number));
        Assert.Equal(CursorOutcome.Done, rig.Answers.Single(answer => answer.RequestId == 101).Outcome);
        Assert.Empty(rig.Log.Cursors);
    }

    [Fact]
    public void Cursor_that_always_has_a_dead_letter_on_its_way_is_removed()
    {
        var rig = new CursorRig(new CursorConfiguration { Name = "c", DeadLetterTarget = Target });
        rig.Produce(10);
        rig.Attach(1, credit: 3);
        var token = Token(rig);
        rig.Request(new Reject(100, token, OffsetRange.Of(1)));
        rig.Request(new Reject(101, Token(rig), OffsetRange.Of(4)));
        rig.Delivered();
        Assert.Null(rig.Request(new Remove(102, rig.Cursor.State!.Incarnation)));
        // Consumers refuse the next ones while those are published.
        Assert.Equal(CursorOutcome.NotReady, rig.Request(new Reject(103, token, OffsetRange.Of(2))));
        for (var published = 0; rig.Publications.Count > published; published++)
            rig.Handle(new DeadLettersPublished(rig.Publications[published].Number));
        Assert.Equal(2, rig.Publications.Sum(publication => publication.Intents.Count));
        Assert.Empty(rig.Delivered());
        Assert.Equal(CursorOutcome.Done, rig.Answers.Single(answer => answer.RequestId == 102).Outcome);
        Assert.Empty(rig.Log.Cursors);
    }

    [Fact]
    public void Removal_is_given_up_while_the_target_of_dead_letters_is_away_and_deliveries_go_on()
    {
        var rig = new CursorRig(new CursorConfiguration { Name = "c", DeadLetterTarget = Target });
        rig.Produce(2);
        rig.Attach(1, credit: 1, isWindow: false);
        rig.HoldsAppends = true;
        rig.Request(new Reject(100, Token(rig), OffsetRange.Of(1)));
        Assert.Null(rig.Request(new Remove(101, rig.Cursor.State!.Incarnation)));
        rig.Handle(new GrantCredit(1, 1));
        rig.HoldsAppends = false;
        rig.Append(rig.Appends[^1]);
        for (var left = 20; left > 0; left--)
        {
            Assert.Empty(rig.Delivered());
            Assert.DoesNotContain(rig.Answers, answer => answer.RequestId == 101);
            rig.Handle(new DeadLettersFailed(rig.Publications[^1].Number));
            Assert.InRange(rig.WakeAt, rig.Now + 1, rig.Now + 1_000);
            rig.PassTime(1_000);
        }
        Assert.Equal(CursorOutcome.NotReady, rig.Answers.Single(answer => answer.RequestId == 101).Outcome);
        Assert.Equal([2L], rig.Delivered().Select(d => d.Offset));
    }

    [Fact]
    public void Removal_that_waits_is_answered_when_the_leadership_ends()
    {
        var rig = new CursorRig(new CursorConfiguration { Name = "c", DeadLetterTarget = Target });
        rig.Produce(1);
        rig.Attach(1, credit: 1);
        rig.Request(new Reject(100, Token(rig), OffsetRange.Of(1)));
        Assert.Null(rig.Request(new Remove(101, rig.Cursor.State!.Incarnation)));
        rig.Handle(new Resign());
        Assert.Equal(CursorOutcome.NotLeader, rig.Answers.Single(answer => answer.RequestId == 101).Outcome);
    }

    [Fact]
    public void Reset_keeps_an_alteration_that_was_answered_before_it_or_is_answered_with_it()
    {
        var rig = new CursorRig();
        var (first, altered) = (rig.Cursor.State!, new CursorConfiguration { Name = "c", MaxDeliveries = 7 });
        Assert.Equal(CursorOutcome.Done, rig.Request(new Configure(100, altered)));
        Assert.Equal(CursorOutcome.Done, rig.Request(new Begin(101, Guid.NewGuid(), null, 0, first.Incarnation)));
        Assert.Equal(7, rig.Log.Cursors[0].Configuration.MaxDeliveries);
        // Both wait for the same append.
        rig.HoldsAppends = true;
        rig.Handle(new Restate(long.MaxValue));
        rig.Handle(new Configure(102, altered with { MaxDeliveries = 8 }));
        rig.Handle(new Begin(103, Guid.NewGuid(), null, 0, rig.Cursor.State!.Incarnation));
        rig.HoldsAppends = false;
        rig.Append(rig.Appends[^1]);
        Assert.Equal(2, rig.Answers.Count(answer => answer is { RequestId: 102 or 103, Outcome: CursorOutcome.Done }));
        Assert.Equal(8, rig.Log.Cursors[0].Configuration.MaxDeliveries);
    }

    [Fact]
    public void Dead_letters_of_a_cursor_that_is_created_again_are_published_from_the_first_on()
    {
        var rig = new CursorRig(new CursorConfiguration { Name = "c", DeadLetterTarget = Target });
        rig.Produce(1);
        rig.Attach(1, credit: 1);
        rig.Request(new Reject(100, Token(rig), OffsetRange.Of(1)));
        rig.Handle(new DeadLettersPublished(rig.Publications[^1].Number));
        var configuration = rig.Cursor.State!.Configuration;
        Assert.Equal(CursorOutcome.Done, rig.Request(new Remove(101, rig.Cursor.State.Incarnation)));
        rig.Produce(1);
        Assert.Equal(CursorOutcome.Done, rig.Request(new Begin(102, Guid.NewGuid(), configuration, rig.End - 1)));
        var delivery = rig.Deliveries[^1];
        rig.Request(new Reject(103, delivery.Lock, OffsetRange.Of(delivery.Records[0].Offset)));
        Assert.Equal((2, 0), (rig.Publications.Count, rig.Publications[^1].Intents[0].Sequence));
    }

    // The lock of the newest delivery.
    private static LockToken Token(CursorRig rig)
    {
        var token = rig.Deliveries[^1].Lock;
        rig.Deliveries.Clear();
        return token;
    }
}
