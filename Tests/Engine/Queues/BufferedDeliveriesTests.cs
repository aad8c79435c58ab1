using OrleansMq.Queues;

namespace OrleansMq.Tests.Engine.Queues;

/// <summary>Records that wait at the leader until their consumer takes them.</summary>
public sealed class BufferedDeliveriesTests
{
    private static readonly CursorConfiguration Limited = new() { Name = "c", MaxDeliveries = 1, LimitedCount = LimitedCount.Deliveries };

    [Fact]
    public void Record_whose_lock_ends_before_its_consumer_takes_it_counts_nothing()
    {
        var rig = Start(Limited with { Backoff = new BackoffSchedule(60_000) });
        for (var i = 0; i < 5; i++)
        {
            var record = Assert.Single(Assert.Single(rig.Deliveries).Records);
            Assert.Equal((1L, new DeliveryCounts(1, 0)), (record.Offset, record.Counts));
            rig.Deliveries.Clear();
            rig.PassTime(1_000);
        }
    }

    [Fact]
    public void Record_that_was_taken_fails_when_its_lock_ends_which_began_then()
    {
        var rig = Start(new CursorConfiguration { Name = "c" });
        rig.PassTime(900);
        Assert.Equal(CursorOutcome.Done, rig.Request(new Renew(100, rig.Deliveries[0].Lock, OffsetRange.Of(1))));
        rig.PassTime(900);
        Assert.Single(rig.Deliveries);
        rig.PassTime(100);
        Assert.Equal(new DeliveryCounts(2, 1), rig.Deliveries[1].Records[0].Counts);
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public void Consumer_that_goes_returns_what_waits_uncounted(bool isFailure)
    {
        var rig = Start(Limited);
        rig.Handle(new Detach(1, isFailure));
        rig.Attach(2, credit: 1);
        Assert.Equal(new DeliveryCounts(1, 0), rig.Deliveries[1].Records[0].Counts);
    }

    [Fact]
    public void Record_that_is_released_as_failed_counts_though_it_was_not_taken()
    {
        var rig = Start(new CursorConfiguration { Name = "c" });
        rig.Request(new Release(100, rig.Deliveries[0].Lock, OffsetRange.Of(1), IsFailure: true));
        Assert.Equal(new DeliveryCounts(2, 1), rig.Deliveries[1].Records[0].Counts);
        // By itself, a waiting record comes back at once.
        rig.Request(new Release(101, rig.Deliveries[1].Lock, OffsetRange.Of(1), IsFailure: false, DelayMs: 60_000));
        Assert.Equal(new DeliveryCounts(2, 1), rig.Deliveries[2].Records[0].Counts);
    }

    [Fact]
    public void Record_that_was_not_taken_is_taken_off_the_deliveries_once_where_its_release_does_not_count_either()
    {
        var rig = Start(new CursorConfiguration { Name = "c" });
        rig.Request(new Release(100, rig.Deliveries[0].Lock, OffsetRange.Of(1), IsFailure: true));
        rig.Request(new Release(101, rig.Deliveries[1].Lock, OffsetRange.Of(1), IsFailure: false) { IsUncounted = true });
        Assert.Equal(new DeliveryCounts(2, 1), rig.Deliveries[2].Records[0].Counts);
    }

    [Fact]
    public void Deliveries_that_are_joined_have_the_newest_lock_and_each_record_is_settled_by_itself()
    {
        var rig = new CursorRig();
        rig.Attach(1, credit: 10, isBuffered: true);
        rig.Attach(2, credit: 1, priority: 1, isBuffered: true);
        rig.Produce(2);
        rig.Produce(1);
        var (others, waiting) = (rig.Deliveries.Single(d => d.Attachment == 2), rig.Deliveries.Where(d => d.Attachment == 1).ToList());
        Assert.Equal(2, waiting.Count);
        rig.Handle(new Join(1, waiting));
        var joined = rig.Deliveries[^1];
        Assert.Equal(waiting.SelectMany(d => d.Records), joined.Records);
        Assert.All(rig.Deliveries.SkipLast(1), before => Assert.True(before.Lock.Number < joined.Lock.Number));
        var offsets = joined.Records.Select(record => record.Offset).ToList();
        // The locks before it hold them no more, and it does not hold what another has.
        Assert.Equal(CursorOutcome.InvalidLock, rig.Request(new Renew(100, waiting[0].Lock, OffsetRange.Of(offsets[0]))));
        Assert.Equal(CursorOutcome.InvalidLock, rig.Request(new Settle(101, joined.Lock, OffsetRange.Of(others.Records[0].Offset))));
        Assert.Equal(CursorOutcome.Done, rig.Request(new Renew(102, joined.Lock, OffsetRange.Of(offsets[0]))));
        Assert.Equal(CursorOutcome.Done, rig.Request(new Settle(103, joined.Lock, OffsetRange.Of(offsets[0]))));
        Assert.False(rig.Cursor.Holds(joined.Lock, offsets[0]));
        Assert.True(rig.Cursor.Holds(joined.Lock, offsets[1]));
    }

    [Fact]
    public void Record_whose_lock_ended_is_not_joined_and_the_others_hold_for_their_whole_time_again()
    {
        var rig = new CursorRig();
        rig.Attach(1, credit: 2, lockMs: 1_000, isBuffered: true);
        rig.Produce(1);
        rig.PassTime(600);
        rig.Produce(1);
        rig.PassTime(400);
        // The first one came again, under a third lock.
        Assert.Equal(3, rig.Deliveries.Count);
        var waiting = rig.Deliveries.ToList();
        rig.Handle(new Join(1, waiting));
        var joined = rig.Deliveries[^1];
        Assert.Equal([waiting[1].Records[0].Offset, waiting[2].Records[0].Offset], joined.Records.Select(record => record.Offset));
        rig.PassTime(900);
        Assert.All(joined.Records, record => Assert.True(rig.Cursor.Holds(joined.Lock, record.Offset)));
        rig.PassTime(100);
        Assert.All(joined.Records, record => Assert.False(rig.Cursor.Holds(joined.Lock, record.Offset)));
    }

    private static CursorRig Start(CursorConfiguration configuration)
    {
        var rig = new CursorRig(configuration);
        rig.Attach(1, credit: 1, lockMs: 1_000, isBuffered: true);
        rig.Produce(1);
        return rig;
    }
}
