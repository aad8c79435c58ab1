using OrleansMq.Queues;

namespace OrleansMq.Tests.Engine.Queues;

/// <summary>Schedules and priorities, which records' headers say.</summary>
public sealed class CursorHeadsTests
{
    [Fact]
    public void Scheduled_record_is_deferred_when_it_would_be_next_and_comes_at_its_time()
    {
        var rig = Scheduled(offset => offset == 1 ? 5_000 : 0);
        rig.Produce(3);
        Assert.Empty(rig.Cursor.State!.Returns);
        rig.Attach(1, credit: 9);
        Assert.Equal([2L, 3L], rig.Delivered().Select(d => d.Offset));
        Assert.Equal(new ReturnedRecord(1, default, 5_000), rig.Log.Cursors[0].Returns[1]);
        Assert.Equal(5_000, rig.WakeAt);
        rig.PassTime(4_000);
        var record = rig.Deliveries.Single().Records.Single();
        Assert.Equal(new DeliveredRecord(1, new DeliveryCounts(1, 0), IsRedelivered: false), record);
    }

    [Fact]
    public void Next_leader_knows_the_schedule_without_a_read()
    {
        var rig = Scheduled(offset => offset == 1 ? 5_000 : 0);
        rig.Produce(2);
        rig.Attach(1, credit: 1);
        rig.FailOver();
        rig.Commit();
        rig.Attach(2, credit: 9);
        rig.Delivered();
        rig.PassTime(4_000);
        Assert.Equal([1L], rig.Delivered().Select(d => d.Offset));
    }

    [Fact]
    public void Next_leader_whose_clock_is_behind_defers_no_longer_than_the_delay_and_schedules_to_their_time()
    {
        const long hour = 3_600_000;
        var rig = Scheduled(offset => offset == 1 ? 30 * hour : 0);
        rig.Now = 20 * hour;
        rig.Produce(4);
        rig.Attach(1, credit: 3, isWindow: false);
        var token = rig.Deliveries[^1].Lock;
        Assert.Equal([2L, 3L, 4L], rig.Delivered().Select(d => d.Offset));
        rig.Request(new Release(100, token, OffsetRange.Of(2), IsFailure: true, DelayMs: 5_000));
        rig.Request(new Release(101, token, OffsetRange.Of(3), IsFailure: false, DelayMs: 2 * hour));
        rig.Request(new Release(102, token, OffsetRange.Of(4), IsFailure: true));
        rig.Now = 10 * hour;
        rig.FailOver();
        rig.Commit();
        rig.Attach(2, credit: 9, isWindow: false);
        var second = rig.Deliveries[^1].Lock;
        Assert.Equal([4L], rig.Delivered().Select(d => d.Offset));
        Assert.Equal((3, rig.Now + 5_000), (rig.Cursor.CountDeferred(rig.Now), rig.WakeAt));
        rig.PassTime(4_999);
        Assert.Empty(rig.Delivered());
        rig.PassTime(1);
        Assert.Equal([2L], rig.Delivered().Select(d => d.Offset));
        // By this leader's own time from now on.
        rig.Request(new Release(103, second, OffsetRange.Of(4), IsFailure: true, DelayMs: hour));
        rig.PassTime(hour - 1);
        Assert.Empty(rig.Delivered());
        rig.PassTime(1);
        Assert.Equal([4L], rig.Delivered().Select(d => d.Offset));
        rig.PassTime(hour - 5_000);
        Assert.Equal([3L], rig.Delivered().Select(d => d.Offset));
        rig.PassTime((18 * hour) - 1);
        Assert.Empty(rig.Delivered());
        rig.PassTime(1);
        Assert.Equal([1L], rig.Delivered().Select(d => d.Offset));
    }

    [Fact]
    public void Next_leader_whose_clock_is_right_keeps_the_times()
    {
        var rig = new CursorRig();
        rig.Produce(1);
        rig.Attach(1, credit: 1, isWindow: false);
        rig.Request(new Release(100, rig.Deliveries[^1].Lock, OffsetRange.Of(1), IsFailure: true, DelayMs: 5_000));
        rig.Delivered();
        rig.PassTime(4_000);
        rig.FailOver();
        rig.Commit();
        rig.Attach(2, credit: 1);
        rig.PassTime(999);
        Assert.Empty(rig.Delivered());
        rig.PassTime(1);
        Assert.Equal([1L], rig.Delivered().Select(d => d.Offset));
    }

    [Fact]
    public void Schedule_does_not_hold_back_its_key_and_the_record_waits_for_those_of_its_key_that_are_out()
    {
        var rig = Scheduled(offset => offset == 1 ? 5_000 : 0, keys: true);
        rig.KeyOf = _ => 7;
        rig.Produce(3);
        rig.Attach(1, credit: 9);
        var token = rig.Deliveries[^1].Lock;
        Assert.Equal([2L], rig.Delivered().Select(d => d.Offset));
        rig.PassTime(4_000);
        Assert.Empty(rig.Delivered());
        rig.Request(new Settle(100, token, OffsetRange.Of(2)));
        Assert.Equal([1L], rig.Delivered().Select(d => d.Offset));
    }

    [Fact]
    public void Schedules_take_no_more_room_than_the_bound_of_exceptions()
    {
        var rig = Scheduled(_ => 5_000, bound: 3);
        rig.Produce(10);
        rig.Attach(1, credit: 1);
        Assert.Equal(3, rig.Cursor.State!.Returns.Count);
        rig.PassTime(4_000);
        Assert.Equal([1L], rig.Delivered().Select(d => d.Offset));
    }

    [Fact]
    public void Highest_level_comes_first_and_within_one_the_log_order()
    {
        var rig = Levels(10, offset => offset switch { 3 or 5 => 4, 4 => 20, _ => 0 });
        rig.Produce(6);
        rig.Attach(1, credit: 9);
        Assert.Equal([4L, 3, 5, 1, 2, 6], rig.Delivered().Select(d => d.Offset));
    }

    [Fact]
    public void Record_that_comes_back_has_its_place_in_its_level_also_at_the_next_leader()
    {
        var rig = Levels(10, offset => offset >= 3 ? 1 : 0);
        rig.Produce(4);
        rig.Attach(1, credit: 1, isWindow: false);
        var token = rig.Deliveries[^1].Lock;
        Assert.Equal([3L], rig.Delivered().Select(d => d.Offset));
        rig.Request(new Release(100, token, OffsetRange.Of(3), IsFailure: true));
        rig.Handle(new GrantCredit(1, 1));
        Assert.Equal([3L], rig.Delivered().Select(d => d.Offset));
        rig.FailOver();
        rig.Commit();
        rig.Attach(2, credit: 3);
        Assert.Equal([3L, 4, 1], rig.Delivered().Select(d => d.Offset));
    }

    [Fact]
    public void Without_room_the_first_record_in_the_log_is_handed_out()
    {
        var rig = Levels(10, offset => offset % 2 == 0 ? 1 : 0, bound: 2);
        rig.Produce(8);
        rig.Attach(1, credit: 2);
        var first = rig.Deliveries[^1].Lock;
        Assert.Equal([2L, 4], rig.Delivered().Select(d => d.Offset));
        rig.Request(new Settle(100, first, OffsetRange.Of(2)));
        rig.Request(new Settle(101, first, OffsetRange.Of(4)));
        Assert.Equal([1L], rig.Delivered().Select(d => d.Offset));
    }

    [Fact]
    public void Raised_record_far_ahead_that_is_gone_stops_nothing()
    {
        var rig = Levels(2, offset => offset is 100_000 or 100_001 ? 1 : 0);
        rig.Produce(100_010);
        rig.Attach(1, credit: 1);
        Assert.Equal([100_000L], rig.Delivered().Select(d => d.Offset));
        // Compaction removes the other.
        rig.Handle(new Advance(rig.End, rig.End, [OffsetRange.Of(100_001)]));
        rig.Handle(new GrantCredit(1, 2));
        Assert.Equal([1L, 2], rig.Delivered().Select(d => d.Offset));
    }

    [Fact]
    public void Record_does_not_expire_before_a_clock_that_was_set_back_says_so()
    {
        var rig = new CursorRig(new CursorConfiguration { Name = "c", HasTimeToLive = true })
        {
            HeadOf = offset => new RecordHead(offset, ExpiresAt: 500_000),
        };
        rig.Cursor.ClockTime = 400_000;
        rig.Now = 4_000_000;
        rig.Produce(2);
        Assert.Equal(4_100_000, rig.WakeAt);
        rig.Attach(1, credit: 1);
        Assert.Equal([1L], rig.Delivered().Select(d => d.Offset));
        rig.Cursor.ClockTime = 500_000;
        rig.PassTime(100_000);
        Assert.Equal(1, rig.Log.Cursors[0].Total(SettlementCause.Expired));
    }

    [Theory]
    [InlineData(false, 0)]
    [InlineData(true, 0)]
    [InlineData(false, 3)]
    public void Record_that_the_filter_does_not_match_is_settled_without_a_dead_letter(bool isByKey, int levels)
    {
        var rig = new CursorRig(new CursorConfiguration
        {
            Name = "c",
            Filter = "a = 1",
            IsOrderedByKey = isByKey,
            PriorityLevels = levels,
            DeadLetterTarget = new DeadLetterTarget(Guid.NewGuid(), 0),
        })
        {
            HeadOf = static offset => new RecordHead(offset, IsFiltered: offset % 3 != 0),
            KeyOf = static offset => offset,
        };
        rig.Produce(2_000);
        rig.Attach(1, credit: 2, isWindow: false);
        var first = rig.Deliveries[^1].Lock;
        Assert.Equal([3L, 6], rig.Delivered().Select(d => d.Offset));
        rig.Request(new Settle(100, first, OffsetRange.Of(3)));
        rig.Handle(new GrantCredit(1, 1));
        Assert.Equal([9L], rig.Delivered().Select(d => d.Offset));
        var state = rig.Log.Cursors[0];
        Assert.Equal((1, 6), (state.Total(SettlementCause.Accepted), state.Floor));
        Assert.Empty(state.Intents);
        Assert.InRange(rig.Cursor.Filtered, 1_300, 1_334);
    }

    [Fact]
    public void Records_that_the_filter_does_not_match_cost_no_transition_each()
    {
        var rig = new CursorRig(new CursorConfiguration { Name = "c", Filter = "a = 1", IsOrderedByKey = true, LookAhead = 100 })
        {
            HeadOf = static offset => new RecordHead(offset, IsFiltered: offset != 30_000),
            KeyOf = static _ => 7,
        };
        rig.Produce(30_010);
        var before = rig.Appends.Count;
        rig.Attach(1, credit: 1);
        Assert.Equal([30_000L], rig.Delivered().Select(d => d.Offset));
        Assert.InRange(rig.Appends.Count - before, 1, 20);
        Assert.True(rig.Log.Cursors[0].Floor > 10_000, $"the floor is {rig.Log.Cursors[0].Floor}");
    }

    [Fact]
    public void Records_that_the_filter_does_not_match_leave_those_behind_them_to_expire()
    {
        var rig = new CursorRig(new CursorConfiguration { Name = "c", Filter = "a = 1", HasTimeToLive = true })
        {
            HeadOf = static offset => new RecordHead(offset, ExpiresAt: offset == 5 ? 0 : long.MaxValue, IsFiltered: offset < 5),
        };
        rig.Produce(7);
        Assert.Equal((4, 1), (rig.Cursor.Filtered, rig.Log.Cursors[0].Total(SettlementCause.Expired)));
    }

    [Fact]
    public void Log_of_one_level_costs_the_order_no_sets()
    {
        var order = new PriorityOrder(0, 32, (from, _) => from, returnedFirst: true);
        order.ReadUpTo(1_000_000);
        Assert.True(order.TryPeek(long.MaxValue, out var offset) && offset == 0);
        order.Add(700_000, 5, isAvailable: true);
        Assert.True(order.TryPeek(long.MaxValue, out offset) && offset == 700_000);
        Assert.True(order.TryPeekFirst(long.MaxValue, out offset) && offset == 0);
        order.Take(700_000);
        Assert.True(order.TryPeek(long.MaxValue, out offset) && offset == 0);
        order.Return(700_000);
        order.SkipTo(800_000);
        Assert.True(order.TryPeek(long.MaxValue, out offset) && offset == 800_000);
    }

    [Fact]
    public void Many_scheduled_records_take_few_appends_with_a_single_active_consumer()
    {
        var rig = new CursorRig(new CursorConfiguration { Name = "c", HasSchedules = true, IsSingleActiveConsumer = true })
        {
            HeadOf = offset => new RecordHead(offset, DeliverAt: offset < 100 ? 3_600_000 : 0),
        };
        rig.Produce(100);
        rig.Attach(1, credit: 1);
        Assert.Equal([100L], rig.Delivered().Select(d => d.Offset));
        Assert.InRange(rig.Appends.Count, 1, 5);
    }

    private static CursorRig Scheduled(Func<long, long> deliverAt, bool keys = false, int bound = 1_000) =>
        new(new CursorConfiguration { Name = "c", HasSchedules = true, IsOrderedByKey = keys, MaxExceptions = bound })
        {
            HeadOf = offset => new RecordHead(offset, DeliverAt: deliverAt(offset)),
        };

    private static CursorRig Levels(int levels, Func<long, int> level, int bound = 1_000) =>
        new(new CursorConfiguration { Name = "c", PriorityLevels = levels, MaxExceptions = bound })
        {
            HeadOf = offset => new RecordHead(offset, Priority: level(offset)),
        };
}
