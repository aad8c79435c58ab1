using OrleansMq.Quotas;

namespace OrleansMq.Tests.Engine.Quotas;

/// <summary>How many producer ids write, by which time.</summary>
public sealed class ActiveProducerIdsTests
{
    private static readonly double Silence = ActiveProducerIds.Silence.TotalSeconds;

    [Fact]
    public void Id_that_counts_goes_on_and_a_further_one_waits_until_another_is_silent()
    {
        var ids = new ActiveProducerIds();
        Assert.True(ids.Admits(1, most: 2, now: 0));
        Assert.True(ids.Admits(2, 2, 10));
        Assert.False(ids.Admits(3, 2, 20));
        Assert.True(ids.Admits(1, 2, 30));
        // The second one was last heard of at 10.
        Assert.False(ids.Admits(3, 2, 9 + Silence));
        Assert.True(ids.Admits(3, 2, 10 + Silence));
        Assert.False(ids.Admits(2, 2, 10 + Silence));
        Assert.True(ids.Admits(1, 2, 29 + Silence));
    }

    [Fact]
    public void Lower_limit_keeps_those_that_write()
    {
        var ids = new ActiveProducerIds();
        Assert.True(ids.Admits(1, 2, 0));
        Assert.True(ids.Admits(2, 2, 0));
        Assert.True(ids.Admits(2, 1, 1));
        Assert.False(ids.Admits(3, 1, 2));
        Assert.Equal(2, ids.Count);
        ids.Forget(Silence);
        Assert.Equal(1, ids.Count);
        ids.Forget(1 + Silence);
        Assert.Equal(0, ids.Count);
    }

    [Fact]
    public void Random_uses_are_admitted_as_by_a_plain_list()
    {
        var seed = Environment.TickCount;
        var random = new Random(seed);
        var (ids, plain) = (new ActiveProducerIds(), new Dictionary<long, double>());
        var now = 0.0;
        for (var use = 0; use < 20_000; use++)
        {
            now += random.NextDouble() * (random.Next(200) == 0 ? Silence : 60);
            var (id, most) = ((long)random.Next(60), random.Next(1, 40));
            foreach (var silent in plain.Where(one => one.Value + Silence <= now).Select(static one => one.Key).ToArray())
                plain.Remove(silent);
            var expected = plain.ContainsKey(id) || plain.Count < most;
            ids.Forget(now);
            Assert.True(expected == ids.Admits(id, most, now), $"seed {seed}, use {use}");
            if (expected)
                plain[id] = now;
        }
    }
}
