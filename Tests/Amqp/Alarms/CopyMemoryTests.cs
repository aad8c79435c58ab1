using OrleansMq.Gateways.Amqp.Alarms;

namespace OrleansMq.Tests.Amqp.Alarms;

/// <summary>What connections have of the memory for copies of messages.</summary>
public sealed class CopyMemoryTests
{
    private const int Own = ConnectionCopies.Own;

    [Fact]
    public void Connection_has_its_own_whatever_others_have()
    {
        var all = new CopyMemory(400);
        ConnectionCopies[] greedy = [.. Enumerable.Range(0, 4).Select(_ => new ConnectionCopies(all))];
        Assert.All(greedy, one => Assert.True(one.TryTake(Own + 100)));
        Assert.Equal((400, 0), (all.Used, all.Left));
        var other = new ConnectionCopies(all);
        Assert.Equal(Own, other.Allowed);
        Assert.True(other.TryTake(Own - 1));
        Assert.False(other.TryTake(2));
        Assert.True(other.TryTake(1));
        Assert.False(other.TryTake(1));
        Assert.Equal(400, all.Used);
        greedy[0].Give(40);
        Assert.Equal(Own + 40, other.Allowed);
        Assert.True(other.TryTake(40));
        Assert.False(other.TryTake(1));
    }

    [Theory]
    [InlineData(400, Own + 100)]
    [InlineData(long.MaxValue, Own + ConnectionCopies.MostBeyondOwn)]
    public void Connection_has_a_quarter_and_no_more_than_the_most(long limit, int most)
    {
        var all = new CopyMemory(limit);
        var one = new ConnectionCopies(all);
        Assert.Equal(most, one.Allowed);
        Assert.False(one.TryTake(most + 1));
        Assert.True(one.TryTake(most));
        Assert.False(one.TryTake(1));
        Assert.Equal(most, one.Allowed);
        Assert.Equal(most - Own, all.Used);
        one.Give(most);
        Assert.Equal(0, all.Used);
    }

    [Fact]
    public void Connection_that_ends_gives_back_what_it_has_once()
    {
        var all = new CopyMemory(400);
        var one = new ConnectionCopies(all);
        Assert.True(one.TryTake(Own + 60));
        Assert.Equal(60, all.Used);
        one.End();
        Assert.Equal(0, all.Used);
        one.Give(Own + 60);
        one.End();
        Assert.Equal(0, all.Used);
        Assert.False(one.TryTake(1));
    }

    [Fact]
    public void Connections_that_take_and_give_at_once_leave_nothing()
    {
        const int Limit = 3 * Own;
        var all = new CopyMemory(Limit);
        Parallel.For(0, 8, seed =>
        {
            var random = new Random(seed);
            var one = new ConnectionCopies(all);
            var taken = new Queue<int>();
            for (var step = 0; step < 20_000; step++)
            {
                var bytes = random.Next(1, Own);
                if (one.TryTake(bytes))
                    taken.Enqueue(bytes);
                Assert.True(taken.Sum(static one => (long)one) <= Own + (Limit / 4));
                if (random.Next(2) == 0 && taken.TryDequeue(out var given))
                    one.Give(given);
            }
            while (taken.TryDequeue(out var given))
                one.Give(given);
        });
        Assert.Equal(0, all.Used);
    }
}
