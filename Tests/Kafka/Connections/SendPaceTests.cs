using OrleansMq.Gateways.Connections;
using OrleansMq.Testing;

namespace OrleansMq.Tests.Kafka.Connections;

/// <summary>How slowly a client may receive its answers.</summary>
public sealed class SendPaceTests
{
    private static readonly TimeSpan _window = TimeSpan.FromMinutes(10);

    private readonly ManualTimeProvider _time = new();

    [Theory]
    [InlineData(0, true)]
    [InlineData(1, true)] // A byte now and then is no progress.
    [InlineData(9_000, true)]
    [InlineData(11_000, false)]
    public void Client_that_others_would_wait_for_must_receive_the_least_rate(int bytesInTenSeconds, bool isTooSlow)
    {
        var pace = new SendPace(_time, _window);
        var sent = 0L;
        var closed = false;
        for (var seconds = 0; seconds <= 600 && !closed; seconds += 10)
        {
            closed = pace.IsTooSlow(isWaiting: true, sent);
            Assert.True(!closed || seconds == 600);
            sent += bytesInTenSeconds;
            _time.Advance(TimeSpan.FromSeconds(10));
        }
        Assert.Equal(isTooSlow, closed);
    }

    [Fact]
    public void Client_that_has_received_everything_is_not_slow()
    {
        var pace = new SendPace(_time, _window);
        for (var seconds = 0; seconds <= 3600; seconds += 10)
        {
            // A send waits for a moment now and then.
            Assert.False(pace.IsTooSlow(isWaiting: seconds % 500 != 0, sent: 0));
            _time.Advance(TimeSpan.FromSeconds(10));
        }
    }
}
