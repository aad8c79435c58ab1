using OrleansMq.Compaction;

namespace OrleansMq.Tests.Engine.Compaction;

public class CompactionThrottleTests
{
    [Theory]
    [InlineData(1000, 1000, 0, 1000)]
    [InlineData(1000, 1000, 400, 600)]
    [InlineData(1000, 1000, 1001, 0)]
    [InlineData(1, 1000, 0, 1)]
    public void Throttle_waits_until_the_bytes_are_due(long bytes, long perSecond, int elapsedMs, int waitMs) =>
        Assert.Equal(TimeSpan.FromMilliseconds(waitMs), CompactionThrottle.WaitFor(bytes, perSecond, TimeSpan.FromMilliseconds(elapsedMs)));

    [Fact]
    public void Throttle_stops_with_the_broker() =>
        Assert.Throws<OperationCanceledException>(() => new CompactionThrottle(0, TimeProvider.System).Wait(1,
            new CancellationToken(canceled: true)));
}
