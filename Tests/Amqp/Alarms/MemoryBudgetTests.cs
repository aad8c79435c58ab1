using System.Net;
using OrleansMq.Gateways.Amqp.Alarms;
using OrleansMq.Gateways.Amqp.Connections;

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
    public void Messages_of_other_brokers_are_kept_out_by_what_queues_hold_and_not_by_what_is_on_its_way()
    {
        var budget = new MemoryBudget(100);
        budget.AddHeld(100);
        Assert.True(budget.TakesFromOthers);
        budget.AddHeld(1);
        Assert.False(budget.TakesFromOthers);
        budget.AddHeld(-51);
        budget.Add(200);
        Assert.Equal((true, 50, 250), (budget.IsOver, budget.Held, budget.Used));
        Assert.True(budget.TakesFromOthers);
        budget.AddHeld(1);
        Assert.False(budget.TakesFromOthers);
        budget.Add(-200);
        Assert.True(budget.TakesFromOthers);
    }

    [Fact]
    public void What_only_clients_can_finish_has_half_of_it_and_cannot_block_alone()
    {
        var budget = new MemoryBudget(100);
        using var one = Of(budget, "a");
        Assert.True(one.Add(50));
        Assert.False(one.Add(1));
        Assert.Equal((51, 0), (budget.Used, budget.Unfinished));
        Assert.False(budget.IsOver);
        Assert.False(one.Add(1));
        Assert.True(one.Add(-52));
        Assert.Equal((0, 0), (budget.Used, budget.Unfinished));
    }

    [Fact]
    public async Task User_that_has_most_loses_its_largest_connection_and_others_are_not_refused()
    {
        var budget = new MemoryBudget(200);
        var ended = new List<string>();
        using var ends = new SemaphoreSlim(0);
        using var first = Of(budget, "greedy", () => End("first"));
        using var second = Of(budget, "greedy", () => End("second"));
        using var third = Of(budget, "greedy", () => End("third"));
        using var other = Of(budget, "other", () => End("other"));
        Assert.True(first.Add(30) && second.Add(35) && third.Add(30));
        // It has more than any connection of the other user.
        Assert.True(other.Add(40));
        Assert.True(await ends.WaitAsync(Patience));
        Assert.Equal(["second"], ended);
        Assert.Equal((135, 100), (budget.Used, budget.Unfinished));
        // What it gives back is not counted twice.
        Assert.True(second.Add(-35));
        Assert.Equal((100, 100), (budget.Used, budget.Unfinished));
        Assert.False(first.Add(1));
        Assert.True(third.Add(30) && other.Add(-40));
        Assert.Equal(["second"], ended);

        void End(string name)
        {
            ended.Add(name);
            ends.Release();
        }
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

    private static UnfinishedBytes Of(MemoryBudget budget, string user, Action? end = null) =>
        new(budget, new AmqpClient(new IPEndPoint(IPAddress.Loopback, 1)) { User = user }, _ => end?.Invoke());
}
