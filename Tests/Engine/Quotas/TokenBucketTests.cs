using OrleansMq.Quotas;

namespace OrleansMq.Tests.Engine.Quotas;

/// <summary>Rates and debts. <c>OMQ_SEED</c> repeats a seed.</summary>
public sealed class TokenBucketTests
{
    [Fact]
    public void Window_may_be_used_at_once_and_more_is_repaid_at_the_rate()
    {
        var bucket = new TokenBucket(100);
        bucket.Take(1_000);
        Assert.Equal(0, bucket.Wait);
        bucket.Take(500);
        Assert.Equal(5, bucket.Wait);
        bucket.Pass(2);
        Assert.Equal(3, bucket.Wait);
        bucket.Pass(3);
        Assert.Equal(0, bucket.Wait);
        bucket.Pass(1_000);
        Assert.Equal(1_000, bucket.Tokens);
    }

    [Fact]
    public void No_more_than_a_minute_is_owed()
    {
        var bucket = new TokenBucket(100);
        bucket.Take(1e12);
        Assert.Equal(60, bucket.Wait);
        bucket.Take(1e12);
        Assert.Equal(60, bucket.Wait);
        bucket.Pass(60);
        Assert.Equal(0, bucket.Wait);
    }

    [Fact]
    public void Lower_rate_keeps_what_it_allows()
    {
        var bucket = new TokenBucket(100) { Rate = 10 };
        Assert.Equal(100, bucket.Tokens);
        bucket.Take(130);
        bucket.Rate = 1;
        Assert.Equal(30, bucket.Wait);
        bucket.Rate = 0.1;
        Assert.Equal(60, bucket.Wait);
    }

    [Fact]
    public void Random_use_that_waits_as_told_stays_below_the_rate()
    {
        var given = Environment.GetEnvironmentVariable("OMQ_SEED");
        var first = given is null ? 1 : int.Parse(given, System.Globalization.CultureInfo.InvariantCulture);
        for (var seed = first; seed < (given is null ? 200 : first + 1); seed++)
        {
            var random = new Random(seed);
            var rate = random.Next(1, 1_000);
            var bucket = new TokenBucket(rate);
            var (time, used, last) = (0.0, 0.0, 0.0);
            for (var step = 0; step < 200; step++)
            {
                last = random.NextDouble() * rate * 20;
                used += last;
                bucket.Take(last);
                var pause = bucket.Wait + (random.Next(4) == 0 ? random.NextDouble() * 20 : 0);
                time += pause;
                bucket.Pass(pause);
            }
            // A window may be saved from before.
            Assert.True(used <= rate * (time + TokenBucket.Window) * 1.000001, $"{used} in {time}: repeat with OMQ_SEED={seed}");
        }
    }

    [Fact]
    public void Rate_is_that_of_ten_seconds_and_the_current_one()
    {
        var rate = new SlidingRate();
        for (var second = 0; second < 30; second++)
            rate.Add(second + 0.25, 100);
        Assert.Equal(1_100 / 10.25, rate.PerSecond(29.25), 6);
        Assert.Equal(100, rate.PerSecond(30), 6);
        Assert.Equal(100 / 10.5, rate.PerSecond(39.5), 6);
        Assert.Equal(0, rate.PerSecond(40), 6);
    }

    [Fact]
    public void Rate_of_random_use_is_that_of_a_list_of_all_uses()
    {
        var random = new Random(17);
        var rate = new SlidingRate();
        var all = new List<(long Second, double Units)>();
        var now = 0.0;
        for (var step = 0; step < 1_000; step++)
        {
            now += random.NextDouble() * (random.Next(20) == 0 ? 15 : 1);
            var units = random.Next(100);
            rate.Add(now, units);
            all.Add(((long)now, units));
            var kept = all.Where(one => one.Second > (long)now - SlidingRate.Samples).Sum(static one => one.Units);
            Assert.Equal(kept / (SlidingRate.Samples - 1 + now - Math.Floor(now)), rate.PerSecond(now), 6);
        }
    }
}
