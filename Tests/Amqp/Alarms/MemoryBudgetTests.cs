using OrleansMq.Gateways.Amqp.Alarms;

namespace OrleansMq.Tests.Amqp.Alarms;

/// <summary>When the memory of messages blocks publishers.</summary>
public sealed class MemoryBudgetTests
{
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(60);

    [Fact]
    public async Task It_is_over_above_its_limit_until_a_fifth_is_free_and_says_so_once()
    {
        var budget = new MemoryBudget(100);
        using var changes = new SemaphoreSlim(0);
        budget.Changed += () => changes.Release();
        budget.Add(100);
        Assert.False(budget.IsOver);
        budget.Add(1);
        Assert.True(budget.IsOver);
        Assert.True(await changes.WaitAsync(Patience));
        budget.Add(-20);
        Assert.True(budget.IsOver);
        budget.Add(40);
        budget.Add(-41);
        Assert.False(budget.IsOver);
        Assert.True(await changes.WaitAsync(Patience));
        Assert.Equal((80, 0), (budget.Used, changes.CurrentCount));
    }

    [Fact]
    public void What_only_clients_can_finish_has_half_of_it_and_cannot_block_alone()
    {
        var budget = new MemoryBudget(100);
        Assert.True(budget.AddUnfinished(50));
        Assert.False(budget.AddUnfinished(1));
        Assert.Equal((51, 51), (budget.Used, budget.Unfinished));
        Assert.False(budget.IsOver);
        Assert.True(budget.AddUnfinished(-51));
        Assert.Equal((0, 0), (budget.Used, budget.Unfinished));
    }

    [Fact]
    public async Task Bytes_of_many_threads_add_up_and_the_end_is_what_is_left()
    {
        const int rounds = 20_000;
        var budget = new MemoryBudget(3);
        await Task.WhenAll(Enumerable.Range(0, 4).Select(_ => Task.Run(() =>
        {
            for (var i = 0; i < rounds; i++)
            {
                budget.Add(2);
                budget.Add(-2);
            }
        })));
        Assert.Equal((0, false), (budget.Used, budget.IsOver));
    }
}
