using OrleansMq.Dedupe;

namespace OrleansMq.Tests.Engine.Dedupe;

/// <summary>The bound of message ids of all partitions of a broker.</summary>
public sealed class MessageIdBudgetTests
{
    [Theory]
    [InlineData(90, 10, 90, 1, int.MaxValue)]  // not above the bound
    [InlineData(20, 10, 100, 2, int.MaxValue)] // below its share of 50
    [InlineData(41, 10, 100, 2, 40)]           // at its share
    [InlineData(80, 10, 100, 2, 60)]           // above it: gives way by as many as it adds
    [InlineData(100, 10, 100, 1, 90)]          // alone
    [InlineData(5, 100, 100, 20, 0)]           // a batch of more than its share
    public void Partition_above_its_share_gives_way(int own, int added, long all, int holders, int left) =>
        Assert.Equal(left, MessageIdBudget.Allow(own, added, all, holders, most: 100));

    [Fact]
    public void Partitions_that_add_share_the_bound()
    {
        var budget = new MessageIdBudget(1_000);
        var own = new int[4];
        var random = new Random(Seeds.Next());
        for (var i = 0; i < 5_000; i++)
        {
            // The first one has filled the room before others come.
            var (number, added) = (i < 200 ? 0 : random.Next(own.Length), random.Next(1, 10));
            var after = Math.Min(own[number], budget.Allow(own[number], added)) + added;
            budget.Report(own[number], after);
            own[number] = after;
            Assert.Equal(own.Sum(), budget.Remembered);
            Assert.InRange(budget.Remembered, 0, 2_000);
        }
        Assert.InRange(budget.Remembered, 900, 1_050);
        Assert.All(own, static count => Assert.InRange(count, 200, 270));
        for (var i = 0; i < own.Length; i++)
            budget.Report(own[i], 0);
        Assert.Equal(0, budget.Remembered);
        Assert.Equal(int.MaxValue, budget.Allow(0, 1_000));
    }
}
