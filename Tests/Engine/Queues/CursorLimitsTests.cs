using System.Globalization;
using OrleansMq.Queues;

namespace OrleansMq.Tests.Engine.Queues;

public sealed class CursorLimitsTests
{
    private static CursorConfiguration LimitedTo(long bytes, OverflowAction overflow = OverflowAction.DropHead) =>
        new() { Name = "c", MaxBytes = bytes, Overflow = overflow };

    // Each record has ten bytes for every digit of its offset.
    private static RecordHead SizedHead(long offset) => new(offset, Bytes: 10 * offset.ToString(CultureInfo.InvariantCulture).Length);

    private static CursorRig Sized(CursorConfiguration configuration) => new(configuration) { HeadOf = SizedHead };

    private static CursorConfiguration Limited(long length, OverflowAction overflow = OverflowAction.DropHead) =>
        new() { Name = "c", MaxLength = length, Overflow = overflow };

    [Fact]
    public void Longer_log_loses_its_first_records_and_counts_them()
    {
        var rig = new CursorRig(Limited(3));
        rig.Produce(5);
        Assert.Equal((2, 3), (rig.Cursor.State!.Total(SettlementCause.LengthLimit), rig.Cursor.Length));
        rig.Attach(1, credit: 9);
        Assert.Equal([3L, 4L, 5L], rig.Delivered().Select(d => d.Offset));
    }

    [Fact]
    public void Held_and_settled_records_and_control_batches_take_no_room()
    {
        var rig = new CursorRig(Limited(3));
        rig.Produce(3);
        rig.Attach(1, credit: 2, isWindow: false);
        var token = rig.Deliveries[^1].Lock;
        rig.Produce(2);
        rig.Request(new Settle(100, token, OffsetRange.Of(2)));
        Assert.Equal((0, 3), (rig.Cursor.State!.Total(SettlementCause.LengthLimit), rig.Cursor.Length));
        // A returned record is the first one.
        rig.Request(new Release(101, token, OffsetRange.Of(1), IsFailure: true, DelayMs: 60_000));
        Assert.Equal((1, 3), (rig.Cursor.State.Total(SettlementCause.LengthLimit), rig.Cursor.Length));
        Assert.True(rig.Cursor.State.IsSettled(1));
    }

    [Fact]
    public void Nothing_is_dropped_before_the_records_are_counted()
    {
        var rig = new CursorRig(Limited(3)) { FindsNaturals = false };
        rig.Produce(5);
        Assert.Equal(0, rig.Cursor.State!.Total(SettlementCause.LengthLimit));
    }

    [Fact]
    public void Ten_million_waiting_records_are_not_read_far_from_the_limit_and_in_steps_near_it()
    {
        const int waiting = 10_000_000, step = 50_000;
        var far = new CursorRig(Limited(2 * waiting));
        far.Produce(waiting);
        far.Attach(1, credit: 10);
        Assert.Empty(far.Searched);

        var near = new CursorRig(Limited(waiting)) { OffsetsPerSearch = step };
        near.Produce(waiting + 5_000);
        // Each offset once, some at a time, although records were dropped meanwhile.
        Assert.All(near.Searched, range => Assert.InRange(range.Count, 1, step));
        Assert.InRange(near.Searched.Sum(range => range.Count), waiting + 5_000, near.End);
        Assert.Equal((5_000, waiting), (near.Cursor.State!.Total(SettlementCause.LengthLimit), near.Cursor.Length));
        var searched = near.Searched.Count;
        near.Produce(10);
        Assert.InRange(near.Searched.Skip(searched).Sum(range => range.Count), 10, 20);
    }

    [Fact]
    public void Dropping_looks_at_what_it_drops_however_many_dead_letters_and_held_records_stand_before_it()
    {
        var configuration = Limited(10) with { DeadLetterTarget = new DeadLetterTarget(Guid.NewGuid(), 0) };
        var rig = new CursorRig(configuration);
        rig.Produce(1_000);
        rig.Attach(1, credit: 5, isWindow: false);
        rig.Produce(50_000);
        Assert.InRange(rig.Cursor.State!.Intents.Count, 50_000, 51_000);
        var (before, dropped) = (rig.Cursor.DropSteps, rig.Cursor.State.Intents.Count);
        for (var i = 0; i < 100; i++)
            rig.Produce(1);
        Assert.Equal(100, rig.Cursor.State.Intents.Count - dropped);
        Assert.InRange(rig.Cursor.DropSteps - before, 100, 500);
        // What comes back stands before all of them, and is the next to go.
        var token = rig.Deliveries[^1].Lock;
        var back = rig.Deliveries[^1].Records[2].Offset;
        rig.Request(new Release(100, token, OffsetRange.Of(back), IsFailure: true));
        Assert.True(rig.Cursor.State.IsIntended(back));
        Assert.Equal(10, rig.Cursor.Length);
    }

    [Fact]
    public void Larger_log_loses_its_first_records_until_the_others_fit()
    {
        var rig = Sized(LimitedTo(35));
        rig.Produce(3);
        Assert.Equal((0, 30), (rig.Cursor.State!.Total(SettlementCause.LengthLimit), rig.Cursor.Bytes));
        rig.Produce(2);
        Assert.Equal((2, 30), (rig.Cursor.State.Total(SettlementCause.LengthLimit), rig.Cursor.Bytes));
        // What is larger than the limit is dropped last, and leaves none.
        rig.Produce(9_000);
        Assert.Equal((9_005, 0), (rig.Cursor.State.Total(SettlementCause.LengthLimit), rig.Cursor.Bytes));
    }

    [Fact]
    public void Held_records_take_no_bytes_and_those_that_come_back_take_them_again()
    {
        var rig = Sized(LimitedTo(30));
        rig.Produce(3);
        rig.Attach(1, credit: 2, isWindow: false);
        Assert.Equal(10, rig.Cursor.Bytes);
        var token = rig.Deliveries[^1].Lock;
        rig.Produce(2);
        rig.Request(new Settle(100, token, OffsetRange.Of(2)));
        Assert.Equal((0, 30), (rig.Cursor.State!.Total(SettlementCause.LengthLimit), rig.Cursor.Bytes));
        // A returned record is the first one.
        rig.Request(new Release(101, token, OffsetRange.Of(1), IsFailure: true, DelayMs: 60_000));
        Assert.Equal((1, 30), (rig.Cursor.State.Total(SettlementCause.LengthLimit), rig.Cursor.Bytes));
        Assert.True(rig.Cursor.State.IsSettled(1));
    }

    [Fact]
    public void Both_limits_count_and_empty_records_take_no_bytes()
    {
        var rig = new CursorRig(LimitedTo(0) with { MaxLength = 3 }) { HeadOf = static offset => new(offset, Bytes: offset < 10 ? 0 : 1) };
        rig.Produce(9);
        Assert.Equal((6, 3, 0), (rig.Cursor.State!.Total(SettlementCause.LengthLimit), rig.Cursor.Length, rig.Cursor.Bytes));
        rig.Produce(20);
        Assert.Equal((0, 0), (rig.Cursor.Length, rig.Cursor.Bytes));
    }

    [Fact]
    public void Next_leader_counts_bytes_anew_and_drops_nothing_before()
    {
        var rig = Sized(LimitedTo(30));
        rig.Produce(3);
        rig.Attach(1, credit: 1);
        rig.FailOver();
        Assert.Equal(0, rig.Cursor.Bytes);
        // What a consumer held is waiting again.
        rig.Commit();
        Assert.Equal((30, true), (rig.Cursor.Bytes, rig.Cursor.IsCounted));
        rig.Produce(1);
        Assert.Equal((1, 30), (rig.Cursor.State!.Total(SettlementCause.LengthLimit), rig.Cursor.Bytes));
    }

    [Fact]
    public void Log_full_of_bytes_refuses_publishes_until_some_are_handed_out_also_while_they_are_counted_anew()
    {
        var rig = Sized(LimitedTo(30, OverflowAction.RefusePublish));
        rig.Produce(2);
        Assert.True(rig.AcceptsPublishes);
        rig.Produce(2);
        Assert.False(rig.AcceptsPublishes);
        var answers = new List<bool>();
        rig.Observe = effect =>
        {
            if (effect is AcceptPublishes accept)
                answers.Add(accept.IsAccepted);
        };
        // The count begins anew, and three are left.
        rig.Request(new Purge(100, 2));
        Assert.Equal(30, rig.Cursor.Bytes);
        Assert.Empty(answers);
        rig.Attach(1, credit: 1);
        Assert.Equal([true], answers);
        Assert.Equal(0, rig.Cursor.State!.Total(SettlementCause.LengthLimit));
    }

    [Theory]
    [InlineData(1, 40)]
    [InlineData(3, 20)]
    [InlineData(99, 0)]
    public void Purge_takes_the_bytes_of_what_it_settles(long below, long left)
    {
        var rig = Sized(LimitedTo(1_000));
        rig.Produce(4);
        rig.Request(new Purge(100, below));
        Assert.Equal((left, true), (rig.Cursor.Bytes, rig.Cursor.IsCounted));
    }

    [Fact]
    public void Records_that_the_log_has_lost_take_no_bytes()
    {
        var rig = Sized(LimitedTo(1_000));
        rig.Produce(6);
        rig.Attach(1, credit: 1);
        Assert.Equal(50, rig.Cursor.Bytes);
        rig.Lost.Add(new OffsetRange(0, 3));
        rig.Handle(new Advance(rig.End, rig.End, [new OffsetRange(0, 3)]));
        // The first one was held, and is replaced by the next.
        Assert.Equal((20, true), (rig.Cursor.Bytes, rig.Cursor.IsCounted));
    }

    [Fact]
    public void Limit_of_bytes_that_comes_later_counts_what_waits_and_what_is_held()
    {
        var rig = Sized(new CursorConfiguration { Name = "c" });
        rig.Produce(5);
        rig.Attach(1, credit: 2, isWindow: false);
        Assert.Null(rig.Cursor.Bytes);
        rig.Request(new Configure(100, LimitedTo(20)));
        Assert.Equal((1, 20), (rig.Cursor.State!.Total(SettlementCause.LengthLimit), rig.Cursor.Bytes));
        rig.Request(new Release(101, rig.Deliveries[^1].Lock, new OffsetRange(1, 2), IsFailure: false));
        Assert.Equal((3, 20), (rig.Cursor.State.Total(SettlementCause.LengthLimit), rig.Cursor.Bytes));
        rig.Request(new Configure(102, new CursorConfiguration { Name = "c" }));
        Assert.Null(rig.Cursor.Bytes);
        rig.Produce(9);
        Assert.Equal(3, rig.Cursor.State.Total(SettlementCause.LengthLimit));
    }

    [Fact]
    public void Limit_of_bytes_beside_one_of_length_counts_what_is_counted_without_sizes()
    {
        var rig = Sized(Limited(5));
        rig.Produce(5);
        Assert.Equal((5, null), (rig.Cursor.Length, rig.Cursor.Bytes));
        rig.Request(new Configure(100, Limited(5) with { MaxBytes = 30 }));
        Assert.Equal((2, 3, 30), (rig.Cursor.State!.Total(SettlementCause.LengthLimit), rig.Cursor.Length, rig.Cursor.Bytes));
    }

    [Fact]
    public void Ten_million_waiting_records_are_counted_in_steps_and_none_is_kept_in_memory()
    {
        const int waiting = 10_000_000, step = 50_000;
        var rig = new CursorRig(LimitedTo(10L * waiting))
        {
            HeadOf = static offset => new RecordHead(offset, Bytes: 10),
            OffsetsPerSearch = step,
            HeadsPerRead = 500,
        };
        rig.Produce(waiting);
        Assert.Equal((10L * waiting, 0), (rig.Cursor.Bytes!.Value, rig.Cursor.State!.Total(SettlementCause.LengthLimit)));
        Assert.All(rig.Searched, range => Assert.InRange(range.Count, 1, step));
        Assert.InRange(rig.Searched.Sum(range => range.Count), waiting, rig.End);
        rig.Produce(1_500);
        Assert.Equal((10L * waiting, 1_500), (rig.Cursor.Bytes!.Value, rig.Cursor.State.Total(SettlementCause.LengthLimit)));
        // One sum, and some heads.
        Assert.InRange(rig.Cursor.HeadsKept, 0, 1_000);
        Assert.InRange(rig.Cursor.State.Exceptions + rig.Cursor.Held, 0, 10);
    }

    [Fact]
    public void Log_without_backlog_drops_what_no_consumer_waits_for()
    {
        var rig = Sized(Limited(0));
        rig.Produce(2);
        Assert.Equal((2, 0), (rig.Cursor.State!.Total(SettlementCause.LengthLimit), rig.Cursor.Length));
        rig.Attach(1, credit: 2, isWindow: false);
        // One more than it has credit for. It stays until its reservation is in force, and the count is known.
        rig.HoldsAppends = true;
        rig.Produce(3);
        Assert.Empty(rig.Deliveries);
        Assert.Equal(3, rig.Cursor.Length);
        rig.HoldsAppends = false;
        rig.Append(rig.Appends[^1]);
        Assert.Equal(2, rig.Delivered().Count);
        Assert.Equal((3, 0), (rig.Cursor.State.Total(SettlementCause.LengthLimit), rig.Cursor.Length));
    }

    [Fact]
    public void Log_without_backlog_that_refuses_takes_nothing()
    {
        var rig = Sized(Limited(0, OverflowAction.RefusePublish));
        Assert.False(rig.AcceptsPublishes);
        rig.Attach(1, credit: 2);
        Assert.False(rig.AcceptsPublishes);
    }

    [Fact]
    public void Deferred_records_are_counted_each_time_where_they_are_few_and_after_a_time_in_proportion_where_many()
    {
        var rig = new CursorRig();
        rig.Attach(1, credit: 100_000, isWindow: false);
        rig.Produce(50_000);
        var delivered = rig.Deliveries.SelectMany(d => d.Records.Select(r => (d.Lock, r.Offset))).ToList();
        Assert.InRange(delivered.Count, 50_000, 50_000);
        Defer(0, 1_000);
        Assert.Equal(1_000, rig.Cursor.CountDeferred(rig.Now));
        Defer(1_000, 40_000);
        Assert.Equal(40_000, rig.Cursor.CountDeferred(rig.Now + 1_000));
        Defer(40_000, 50_000);
        // 50,000 steps in 250 ms at most.
        Assert.Equal(40_000, rig.Cursor.CountDeferred(rig.Now + 1_249));
        Assert.Equal(50_000, rig.Cursor.CountDeferred(rig.Now + 1_250));

        void Defer(int from, int to)
        {
            for (var i = from; i < to; i++)
                rig.Cursor.Handle(new Release(CursorRequest.NoAnswer, delivered[i].Lock, OffsetRange.Of(delivered[i].Offset),
                    IsFailure: false, DelayMs: 3_600_000), rig.Now, [], isMore: true);
            rig.Handle(new Tick());
        }
    }

    [Fact]
    public void Next_leader_counts_anew()
    {
        var rig = new CursorRig(Limited(3));
        rig.Produce(3);
        rig.FailOver();
        rig.Commit();
        Assert.Equal(3, rig.Cursor.Length);
        rig.Produce(1);
        Assert.Equal(1, rig.Cursor.State!.Total(SettlementCause.LengthLimit));
    }

    [Fact]
    public void Full_log_refuses_publishes_until_a_record_is_handed_out()
    {
        var rig = new CursorRig(Limited(3, OverflowAction.RefusePublish));
        rig.Produce(2);
        Assert.True(rig.AcceptsPublishes);
        rig.Produce(2);
        Assert.False(rig.AcceptsPublishes);
        rig.Attach(1, credit: 1);
        Assert.False(rig.AcceptsPublishes);
        rig.Handle(new GrantCredit(1, 1));
        Assert.True(rig.AcceptsPublishes);
        Assert.Equal(0, rig.Cursor.State!.Total(SettlementCause.LengthLimit));
    }

    [Fact]
    public void Records_expire_at_the_head_in_order_also_without_a_consumer()
    {
        var rig = new CursorRig(new CursorConfiguration { Name = "c", HasTimeToLive = true }) { HeadOf = HeadOf };
        rig.Produce(4);
        Assert.Equal(2_000, rig.WakeAt);
        // The second one has expired as well, but is not the head.
        rig.PassTime(600);
        Assert.Equal(0, rig.Cursor.State!.Total(SettlementCause.Expired));
        rig.PassTime(400);
        Assert.Equal(2, rig.Cursor.State.Total(SettlementCause.Expired));
        rig.Attach(1, credit: 9);
        Assert.Equal([3L, 4L], rig.Delivered().Select(d => d.Offset));

        static RecordHead HeadOf(long offset) => new(offset, offset switch { 1 => 2_000, 2 => 1_500, _ => long.MaxValue });
    }

    [Fact]
    public void Dead_letters_of_dropped_records_wait_for_room()
    {
        var rig = new CursorRig(Limited(3) with { DeadLetterTarget = new DeadLetterTarget(Guid.NewGuid(), 0), MaxExceptions = 5 });
        rig.Produce(20);
        Assert.Equal(5, rig.Cursor.State!.Intents.Count);
        while (rig.Cursor.State.Intents.Count > 0)
        {
            Assert.InRange(rig.Cursor.State.Intents.Count, 1, 5);
            rig.Handle(new DeadLettersPublished(rig.Publications[^1].Number));
        }
        Assert.Equal((17, 3), (rig.Cursor.State.Total(SettlementCause.DeadLettered), rig.Cursor.Length));
    }

    [Fact]
    public void Dead_letters_of_expired_records_wait_for_room_and_no_later_record_passes_them()
    {
        var configuration = new CursorConfiguration
        {
            Name = "c",
            HasTimeToLive = true,
            DeadLetterTarget = new DeadLetterTarget(Guid.NewGuid(), 0),
            MaxExceptions = 5,
        };
        var rig = new CursorRig(configuration) { HeadOf = offset => new RecordHead(offset, offset > 20 ? long.MaxValue : 1_500) };
        rig.Attach(1, credit: 0);
        rig.Produce(22);
        rig.PassTime(1_000);
        rig.Handle(new GrantCredit(1, 10));
        Assert.Equal((5, 0), (rig.Cursor.State!.Intents.Count, rig.Delivered().Count));
        while (rig.Cursor.State.Intents.Count > 0)
        {
            Assert.InRange(rig.Cursor.State.Intents.Count, 1, 5);
            rig.Handle(new DeadLettersPublished(rig.Publications[^1].Number));
        }
        Assert.Equal(20, rig.Cursor.State.Total(SettlementCause.DeadLettered));
        Assert.Equal([(1L, 21L), (1L, 22L)], rig.Delivered());
    }

    [Fact]
    public void Held_record_expires_when_it_comes_back()
    {
        var rig = new CursorRig(new CursorConfiguration { Name = "c", HasTimeToLive = true }) { HeadOf = o => new RecordHead(o, 2_000) };
        rig.Produce(1);
        rig.Attach(1, credit: 1);
        var token = rig.Deliveries[^1].Lock;
        rig.PassTime(5_000);
        Assert.Equal(0, rig.Cursor.State!.Total(SettlementCause.Expired));
        rig.Delivered();
        rig.Request(new Release(100, token, OffsetRange.Of(1), IsFailure: true));
        Assert.Equal((1, 0), (rig.Cursor.State.Total(SettlementCause.Expired), rig.Delivered().Count));
    }
}
