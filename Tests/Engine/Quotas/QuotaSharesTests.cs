using OrleansMq.Quotas;

namespace OrleansMq.Tests.Engine.Quotas;

/// <summary>How brokers share a limit. <c>OMQ_SEED</c> repeats a seed.</summary>
public sealed class QuotaSharesTests
{
    private static readonly QuotaUse Idle = new(0, IsLimited: false);

    [Fact]
    public void Only_user_of_a_limit_has_all_of_it() => Assert.Equal(90, QuotaShares.Of(90, [Idle, Idle]));

    [Fact]
    public void Broker_alone_has_all_of_it() => Assert.Equal(90, QuotaShares.Of(90, []));

    [Fact]
    public void Silent_brokers_are_left_an_equal_part() => Assert.Equal(30, QuotaShares.Of(90, [null, null]));

    [Fact]
    public void Limited_brokers_share_equally_what_the_others_leave() =>
        Assert.Equal((90 - 10 * QuotaShares.Headroom) / 2, QuotaShares.Of(90, [new(10, false), new(50, true)]));

    [Fact]
    public void Broker_that_uses_more_than_an_equal_part_is_left_no_more() =>
        Assert.Equal(45, QuotaShares.Of(90, [new(80, IsLimited: false)]));

    [Fact]
    public void Random_brokers_that_hold_clients_back_never_have_more_than_the_limit()
    {
        var given = Environment.GetEnvironmentVariable("OMQ_SEED");
        var first = given is null ? 1 : int.Parse(given, System.Globalization.CultureInfo.InvariantCulture);
        for (var seed = first; seed < (given is null ? 2_000 : first + 1); seed++)
        {
            var random = new Random(seed);
            QuotaUse[] brokers = [.. Enumerable.Range(0, random.Next(1, 8)).Select(_ =>
                new QuotaUse(random.NextDouble() * 100, random.Next(2) == 0))];
            double[] shares = [.. brokers.Select((_, self) =>
                QuotaShares.Of(100, [.. brokers.Where((_, other) => other != self).Select(static one => (QuotaUse?)one)]))];
            Assert.All(shares, share => Assert.True(share >= 100.0 / brokers.Length - 1e-9, $"{share}: repeat with OMQ_SEED={seed}"));
            // Those that hold nobody back use what they have used, or their share.
            var used = brokers.Select((use, self) => use.IsLimited ? shares[self] : Math.Min(use.Rate, shares[self])).Sum();
            Assert.True(used <= 100 + 1e-9, $"{used}: repeat with OMQ_SEED={seed}");
        }
    }
}
