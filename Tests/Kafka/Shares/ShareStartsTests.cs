using OrleansMq.Gateways.Kafka.Shares;

namespace OrleansMq.Tests.Kafka.Shares;

/// <summary>Where a group begins.</summary>
public sealed class ShareStartsTests
{
    [Fact]
    public void Age_beyond_any_calendar_is_the_first_record()
    {
        Assert.Equal(0, ShareStarts.SinceOf(DateTimeOffset.UnixEpoch.AddYears(50), TimeSpan.FromDays(1_000_000)));
        Assert.Equal(1_000, ShareStarts.SinceOf(DateTimeOffset.UnixEpoch.AddSeconds(61), TimeSpan.FromMinutes(1)));
    }
}
