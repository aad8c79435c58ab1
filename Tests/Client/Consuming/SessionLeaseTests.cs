using OrleansMq.Client;
using OrleansMq.Testing;

namespace OrleansMq.Tests.Client.Consuming;

/// <summary>Until when a member may treat its partitions as assigned.</summary>
public sealed class SessionLeaseTests
{
    private readonly ManualTimeProvider _clock = new();
    private readonly SessionLease _lease;

    public SessionLeaseTests() => _lease = new SessionLease(_clock, TimeSpan.FromSeconds(10));

    private bool IsOverAfter(int seconds)
    {
        _clock.Advance(TimeSpan.FromSeconds(seconds));
        return _lease.IsOver;
    }

    [Fact]
    public void Response_to_an_earlier_request_does_not_shorten_the_lease()
    {
        var join = _clock.GetTimestamp();
        _clock.Advance(TimeSpan.FromSeconds(8));
        _lease.Renew(_clock.GetTimestamp()); // A heartbeat while the join waits.
        _lease.Renew(join);
        Assert.False(IsOverAfter(9));
        Assert.True(IsOverAfter(2));
    }

    [Fact]
    public void Lease_after_a_broken_poll_ends_early_unless_it_is_renewed()
    {
        _lease.Renew(_clock.GetTimestamp());
        _lease.Shorten(TimeSpan.FromSeconds(5));
        Assert.False(IsOverAfter(4));
        _lease.Renew(_clock.GetTimestamp());
        Assert.False(IsOverAfter(9));
        _lease.Shorten(TimeSpan.FromSeconds(5)); // Less is left.
        Assert.True(IsOverAfter(2));
        _lease.Release();
        _lease.Shorten(TimeSpan.FromSeconds(5));
        Assert.False(IsOverAfter(100));
    }

    [Fact]
    public void Lease_without_partitions_does_not_expire_until_it_is_renewed()
    {
        _lease.Renew(_clock.GetTimestamp());
        _lease.Release();
        Assert.False(IsOverAfter(100));
        _lease.Renew(_clock.GetTimestamp());
        Assert.False(IsOverAfter(9));
        Assert.True(IsOverAfter(2));
    }

    [Fact]
    public void Shorter_session_applies_at_once()
    {
        _lease.Renew(_clock.GetTimestamp());
        Assert.True(_lease.Follow(TimeSpan.FromSeconds(5), own: TimeSpan.FromSeconds(10)));
        Assert.False(_lease.Follow(TimeSpan.FromSeconds(7), own: TimeSpan.FromSeconds(10)));
        Assert.Equal(TimeSpan.FromSeconds(5), _lease.Length);
        Assert.False(IsOverAfter(4));
        Assert.True(IsOverAfter(2));
    }

    [Fact]
    public void Member_without_a_timeout_of_its_own_has_the_coordinators()
    {
        Assert.False(_lease.Follow(TimeSpan.FromSeconds(5), own: null));
        Assert.False(_lease.Follow(TimeSpan.FromSeconds(60), own: null));
        Assert.Equal(TimeSpan.FromSeconds(60), _lease.Length);
    }
}
