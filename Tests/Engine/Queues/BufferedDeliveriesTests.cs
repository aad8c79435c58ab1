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

    private static CursorRig Start(CursorConfiguration configuration)
    {
        var rig = new CursorRig(configuration);
        rig.Attach(1, credit: 1, lockMs: 1_000, isBuffered: true);
        rig.Produce(1);
        return rig;
    }
}
