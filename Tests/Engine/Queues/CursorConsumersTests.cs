using OrleansMq.Queues;

namespace OrleansMq.Tests.Engine.Queues;

public sealed class CursorConsumersTests
{
    [Fact]
    public void Longest_held_come_first_a_renewal_does_not_begin_anew_and_what_waits_comes_last()
    {
        var rig = new CursorRig();
        rig.Attach(1, credit: 2, lockMs: 60_000);
        rig.Attach(2, credit: 2, isBuffered: true, priority: -1);
        rig.Produce(2);
        rig.PassTime(1_000);
        rig.Produce(2);
        var buffered = rig.Deliveries.First(d => d.Attachment == 2).Lock;
        rig.PassTime(10_000);
        var first = rig.Deliveries.First(d => d.Attachment == 1);
        rig.Request(new Renew(100, first.Lock, OffsetRange.Of(first.Records[0].Offset)));
        rig.Request(new Renew(101, buffered, OffsetRange.Of(4)));
        rig.PassTime(500);
        Assert.Equal([(1L, 1L, 11_500L, false), (2L, 1L, 11_500L, false), (4L, 2L, 500L, false), (5L, 2L, 10_500L, true)],
            rig.Cursor.HeldLongest(10).Select(one => (one.Offset, one.Attachment, rig.Now - one.Since, one.IsWaiting)));
        Assert.Equal([59_500L, 48_500L, null, null], rig.Cursor.HeldLongest(10).Select(one => one.LockLeftMs));
        Assert.Equal([1L, 2L], rig.Cursor.HeldLongest(2).Select(one => one.Offset));
        rig.Request(new Settle(102, first.Lock, OffsetRange.Of(1)));
        Assert.Equal([2L], rig.Cursor.HeldLongest(1).Select(one => one.Offset));
    }

    [Fact]
    public void Consumers_take_turns()
    {
        var rig = new CursorRig();
        rig.Attach(1, credit: 10);
        rig.Attach(2, credit: 10);
        rig.Produce(6);
        Assert.Equal([3, 3], rig.Delivered().GroupBy(d => d.Consumer).Select(g => g.Count()));
    }

    [Fact]
    public void Consumer_of_a_higher_priority_receives_while_it_has_credit()
    {
        var rig = new CursorRig();
        rig.Attach(1, credit: 10);
        rig.Attach(2, credit: 2, priority: 5);
        rig.Produce(3);
        Assert.Equal([(1L, 3L), (2L, 1L), (2L, 2L)], rig.Delivered().Order());
    }

    [Fact]
    public void Priorities_without_turns_are_forgotten()
    {
        var ring = new ConsumerRing();
        for (var priority = 1; priority <= 100; priority++)
        {
            var consumer = new Consumer(new Attach(priority, priority, IsWindow: true, LockDurationMs: 0), priority);
            ring.Attach(consumer);
            ring.AddCredit(consumer, 1);
            ring.Detach(consumer);
        }
        Assert.Equal((100, null, 0), (ring.Priorities, ring.Peek(), ring.Priorities));
    }

    [Fact]
    public void Single_active_consumer_is_followed_by_the_oldest_which_gets_what_came_back_first()
    {
        var rig = new CursorRig(new CursorConfiguration { Name = "c", IsSingleActiveConsumer = true });
        rig.Attach(1, credit: 2);
        rig.Attach(2, credit: 9);
        rig.Attach(3, credit: 9);
        rig.Produce(4);
        Assert.Equal([(1L, 1L), (1L, 2L)], rig.Delivered());
        rig.HoldsCommits = true;
        rig.Handle(new Detach(1, IsFailure: true));
        Assert.Empty(rig.Delivered());
        rig.Commit();
        Assert.Equal([1L, 2L, 3L, 4L], rig.Delivered().Where(d => d.Consumer == 2).Select(d => d.Offset));
    }

    [Fact]
    public void Single_active_consumer_that_gives_its_turn_up_keeps_what_it_holds_and_the_next_one_receives()
    {
        var rig = new CursorRig(new CursorConfiguration { Name = "c", IsSingleActiveConsumer = true });
        rig.Attach(1, credit: 2);
        rig.Attach(2, credit: 9);
        rig.Produce(3);
        var token = rig.Deliveries[0].Lock;
        rig.Handle(new Yield(1));
        Assert.Equal([(1L, 1L), (1L, 2L), (2L, 3L)], rig.Delivered());
        // What it gives back goes to the active one, before later records.
        rig.Handle(new GrantCredit(1, 5));
        rig.Handle(new Release(1, token, OffsetRange.Of(2), IsFailure: false));
        var later = rig.End;
        rig.Produce(1);
        rig.Commit();
        Assert.Equal([(2L, 2L), (2L, later)], rig.Delivered());
        rig.Handle(new Settle(2, token, OffsetRange.Of(1)));
        rig.Commit();
        Assert.Equal(CursorOutcome.Done, rig.Answers.Last(answer => answer.RequestId == 2).Outcome);
        // Where none is left, the one that comes is the next.
        rig.Handle(new Yield(2));
        var last = rig.End;
        rig.Produce(1);
        Assert.Empty(rig.Delivered());
        rig.Attach(3, credit: 9);
        Assert.Contains((3L, last), rig.Delivered());
    }

    [Fact]
    public void Dispatch_to_ten_thousand_consumers_costs_the_same_for_each_record()
    {
        var rig = new CursorRig();
        for (var consumer = 1; consumer <= 10_000; consumer++)
            rig.Attach(consumer, credit: 1);
        rig.Produce(4_000);
        rig.Produce(6_000);
        rig.Commit();
        var delivered = rig.Delivered();
        Assert.Equal(10_000, delivered.Select(d => d.Offset).Distinct().Count());
        Assert.Equal(10_000, delivered.Select(d => d.Consumer).Distinct().Count());
    }

    [Fact]
    public void Key_waits_until_the_record_before_it_is_settled_in_force_and_others_go_on()
    {
        var order = new KeyOrder(0, lookAhead: 10);
        for (var offset = 0L; offset < 4; offset++)
            order.Add(offset, key: offset == 2 ? 8 : 7, isAvailable: true);
        order.Add(4, key: null, isAvailable: true);
        order.ReadUpTo(5);
        Assert.Equal([0L, 2L, 4L], TakeAll(order));
        order.Return(0);
        Assert.Equal([0L], TakeAll(order));
        order.Remove(OffsetRange.Of(0));
        Assert.Equal([1L], TakeAll(order));
        order.Remove(new OffsetRange(1, 2));
        Assert.Equal([3L], TakeAll(order));
    }

    [Fact]
    public void Run_of_a_key_is_handed_out_under_one_lock_and_the_next_when_all_of_it_is_settled_in_force()
    {
        var rig = NewRunRig(keyRun: 3, reserve: 0);
        var (first, token) = (rig.Deliveries[0].Records[0].Offset, rig.Deliveries[0].Lock);
        Assert.Equal([first, first + 1, first + 2], Assert.Single(rig.Deliveries).Records.Select(record => record.Offset));
        rig.Handle(new Settle(1, token, OffsetRange.Of(first)));
        Assert.Single(rig.Deliveries);
        rig.HoldsCommits = true;
        rig.Handle(new Settle(2, token, new OffsetRange(first + 1, first + 2)));
        Assert.Single(rig.Deliveries);
        rig.Commit();
        Assert.Equal([first + 3, first + 4, first + 5], rig.Deliveries[1].Records.Select(record => record.Offset));
    }

    [Fact]
    public void Failure_in_a_run_holds_back_the_later_records_of_the_run()
    {
        var rig = NewRunRig(keyRun: 4, reserve: 0);
        var (first, token) = (rig.Deliveries[0].Records[0].Offset, rig.Deliveries[0].Lock);
        // The release of the later ones overtakes the failure.
        rig.Handle(new Release(1, token, new OffsetRange(first + 2, first + 3), IsFailure: false));
        rig.Handle(new Release(2, token, OffsetRange.Of(first + 1), IsFailure: true, DelayMs: 500));
        rig.Handle(new Settle(3, token, OffsetRange.Of(first)));
        Assert.Single(rig.Deliveries);
        rig.PassTime(500);
        // It comes alone, before those after it.
        Assert.Equal([first + 1], rig.Deliveries[1].Records.Select(record => record.Offset));
        rig.Handle(new Settle(4, rig.Deliveries[1].Lock, OffsetRange.Of(first + 1)));
        Assert.Equal([first + 2, first + 3, first + 4, first + 5], rig.Deliveries[2].Records.Select(record => record.Offset));
    }

    [Fact]
    public void Runs_leave_credit_for_other_keys()
    {
        var rig = NewRunRig(keyRun: 100, reserve: 6);
        Assert.Equal(4, rig.Delivered().Count);
        Assert.Equal(6, rig.Cursor.CreditOf(1));
    }

    private static CursorRig NewRunRig(int keyRun, int reserve)
    {
        var rig = new CursorRig(new CursorConfiguration { Name = "c", IsOrderedByKey = true, LookAhead = 100 }) { KeyOf = _ => 7 };
        rig.Produce(20);
        rig.Handle(new Attach(1, 0, IsWindow: true, LockDurationMs: 0) { KeyRun = keyRun, KeyRunReserve = reserve });
        rig.Handle(new GrantCredit(1, 10));
        return rig;
    }

    [Fact]
    public void Postponed_record_that_its_line_forgot_holds_its_key_back_no_more()
    {
        var order = new KeyOrder(0, lookAhead: 4);
        for (var offset = 10; offset <= 12; offset++)
        {
            order.Add(offset, 1, isAvailable: true);
            order.Postpone(offset);
        }
        for (var offset = 13; offset <= 16; offset++)
            order.Add(offset, 1, isAvailable: true);
        order.Take(13);
        order.Return(10);
        order.Return(11);
        order.Remove(OffsetRange.Of(13));
        order.Take(10);
        for (var offset = 17; offset <= 19; offset++)
            order.Add(offset, 2, isAvailable: true);
        order.Take(17);
        order.ReadUpTo(20);
        order.MakeRoom();
        order.Remove(OffsetRange.Of(10));
        Assert.Equal(11, order.Forgotten);
        order.BeginAgain(11);
        for (var offset = 11; offset <= 16; offset++)
        {
            if (offset != 13 && order.IsForgotten(offset, 1))
                order.AddAgain(offset, 1, isAvailable: offset != 12);
        }
        order.EndAgain(20);
        Assert.True(order.TryPeek(20, out var next) && next == 11);
        order.Take(11);
        order.Remove(OffsetRange.Of(11));
        order.Return(12);
        Assert.True(order.TryPeek(20, out next) && next == 12);
        order.Take(12);
        order.Remove(OffsetRange.Of(12));
        Assert.True(order.TryPeek(20, out next) && next == 14);
    }

    [Fact]
    public void Keys_are_read_on_past_records_that_wait_up_to_a_thousand_times_the_look_ahead()
    {
        var rig = new CursorRig(new CursorConfiguration { Name = "c", IsOrderedByKey = true, LookAhead = 20 }) { KeyOf = static _ => 7 };
        var readFrom = 0L;
        rig.Observe = effect => readFrom = effect is ReadKeys read ? Math.Max(readFrom, read.From) : readFrom;
        rig.Produce(60_000);
        rig.Attach(1, credit: 100);
        Assert.Equal([1L], rig.Delivered().Select(d => d.Offset));
        Assert.InRange(rig.Log.Cursors[0].DeliveredUpTo, 2, 10_000);
        Assert.InRange(readFrom, 19_000, 21_000);
    }

    [Fact]
    public void Look_ahead_is_bounded_by_what_waits()
    {
        var order = new KeyOrder(0, lookAhead: 3);
        Assert.Equal(3, order.Wanted);
        for (var offset = 0L; offset < 4; offset++)
            order.Add(offset, key: 7, isAvailable: true);
        TakeAll(order);
        Assert.Equal((3, 0), (order.Waiting, order.Wanted));
        order.Remove(OffsetRange.Of(0));
        TakeAll(order);
        Assert.Equal(1, order.Wanted);
    }

    [Fact]
    public void Backoff_grows_to_its_cap_with_jitter_that_repeats()
    {
        var schedule = new BackoffSchedule(100, Multiplier: 3, MostMs: 1_000);
        Assert.Equal([100L, 300, 900, 1_000, 1_000], Enumerable.Range(1, 5).Select(failures => schedule.DelayOf(1, failures)));
        var jittered = schedule with { JitterPercent = 50 };
        var delays = Enumerable.Range(0, 100).Select(offset => jittered.DelayOf(offset, 1)).ToList();
        Assert.All(delays, delay => Assert.InRange(delay, 100, 150));
        Assert.True(delays.Distinct().Count() > 20);
        Assert.Equal(delays, Enumerable.Range(0, 100).Select(offset => jittered.DelayOf(offset, 1)));
        Assert.Equal(0, BackoffSchedule.None.DelayOf(5, 9));
        Assert.Equal(0, new BackoffSchedule(0, Multiplier: 2).DelayOf(5, int.MaxValue));
    }

    private static List<long> TakeAll(KeyOrder order)
    {
        var taken = new List<long>();
        while (order.TryPeek(long.MaxValue, out var offset))
        {
            order.Take(offset);
            taken.Add(offset);
        }
        return taken;
    }
}
