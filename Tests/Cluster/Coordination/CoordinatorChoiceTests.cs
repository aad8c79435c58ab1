using OrleansMq.Grains.Coordination;

namespace OrleansMq.Tests.Cluster.Coordination;

/// <summary>The decision which broker coordinates a group.</summary>
public sealed class CoordinatorChoiceTests
{
    private static readonly int[] Brokers = [1, 2, 3];

    [Fact]
    public void Groups_spread_over_the_brokers()
    {
        var counts = Groups().CountBy(group => Choose(group, Brokers)).ToDictionary();
        Assert.Equal(Brokers, counts.Keys.Order());
        Assert.All(counts.Values, count => Assert.InRange(count, 250, 420));
    }

    [Fact]
    public void Every_broker_makes_the_same_choice() =>
        Assert.All(Groups(),
            group =>
            Assert.Single(Brokers.Select(self => Choose(group, [.. Brokers.Reverse()], self)).Append(Choose(group, Brokers)).Distinct()));

    [Fact]
    public void Lost_broker_moves_only_its_own_groups()
    {
        foreach (var group in Groups())
        {
            var before = Choose(group, Brokers);
            var after = Choose(group, [1, 2]);
            Assert.Equal(before == 3 ? after : before, after);
        }
    }

    [Fact]
    public void Group_stays_when_a_preferred_broker_joins() =>
        Assert.All(Groups(), group => Assert.Equal(2, Choose(group, Brokers, holding: (2, CoordinatorHolding.Coordinates))));

    [Theory]
    [InlineData((int)CoordinatorHolding.Unknown)]
    [InlineData((int)CoordinatorHolding.Leaving)]
    public void Unresponsive_or_leaving_broker_gets_no_groups(int holding) =>
        Assert.All(Groups(), group => Assert.NotEqual(2, Choose(group, Brokers, holding: (2, (CoordinatorHolding)holding))));

    [Fact]
    public void Stopping_broker_gets_no_new_groups_but_keeps_its_own()
    {
        Assert.All(Groups(), group => Assert.NotEqual(2, Choose(group, Brokers, isActive: broker => broker != 2)));
        Assert.All(Groups(),
            group =>
            Assert.Equal(2, Choose(group, Brokers, isActive: broker => broker != 2, holding: (2, CoordinatorHolding.Coordinates))));
    }

    [Fact]
    public void Choice_without_eligible_broker_falls_to_the_requesting_broker() =>
        Assert.Equal(3, Choose("g", Brokers, self: 3, isActive: _ => false));

    private static int Choose(string group, int[] live, int self = 1, Func<int, bool>? isActive = null,
        (int Broker, CoordinatorHolding Holding)? holding = null) =>
        CoordinatorChoice.Decide(group, self, live, isActive ?? (_ => true),
            broker => holding is { } one && one.Broker == broker ? one.Holding : CoordinatorHolding.Absent);

    private static IEnumerable<string> Groups() => Enumerable.Range(0, 1000).Select(i => $"group-{i}");
}
