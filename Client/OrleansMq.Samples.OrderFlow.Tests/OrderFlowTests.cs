using System.Runtime.CompilerServices;
namespace OrleansMq.Samples.OrderFlow.Tests;

/// <summary>The flow from an order to its end, over the grains as they run.</summary>
public sealed class OrderFlowTests : IAsyncLifetime
{
    private static readonly TimeSpan Patience = TimeSpan.FromMinutes(1);

    private OrderFlowSilo _silo = null!;

    public async Task InitializeAsync() => _silo = await OrderFlowSilo.StartAsync();

    public async Task DisposeAsync() => await _silo.DisposeAsync();

    [Fact]
    public async Task Order_is_paid_by_the_account()
    {
        await _silo.Account("ada").OpenAsync(1_000);
        Assert.Equal(OrderStatus.Placed, (await PlaceAsync("1", "ada", 300)).Status);
        Assert.Equal(OrderStatus.Paid, await DecidedAsync("1"));
        Assert.Equal(new AccountView(Balance: 700, Opened: 1_000, Taken: 300, Returned: 0), await _silo.Account("ada").GetAsync());
    }

    [Fact]
    public async Task Order_that_the_account_cannot_pay_is_declined_and_costs_nothing()
    {
        await _silo.Account("ada").OpenAsync(1_000);
        await PlaceAsync("1", "ada", 1_001);
        Assert.Equal(OrderStatus.Declined, await DecidedAsync("1"));
        Assert.Equal(1_000, (await _silo.Account("ada").GetAsync()).Balance);
    }

    [Fact]
    public async Task Order_that_is_placed_twice_is_charged_once()
    {
        await _silo.Account("ada").OpenAsync(1_000);
        var wanted = new NewOrder("ada", 300, DateTimeOffset.UtcNow.AddHours(1));
        await Task.WhenAll(Enumerable.Range(0, 5).Select(_ => _silo.Order("1").PlaceAsync(wanted)));
        Assert.Equal(OrderStatus.Paid, await DecidedAsync("1"));
        // The second order comes behind all records of the first one.
        await PlaceAsync("2", "ada", 100);
        Assert.Equal(OrderStatus.Paid, await DecidedAsync("2"));
        Assert.Equal(new AccountView(Balance: 600, Opened: 1_000, Taken: 400, Returned: 0), await _silo.Account("ada").GetAsync());
    }

    [Fact]
    public async Task Order_that_is_not_paid_in_time_is_cancelled_and_its_late_payment_refunded()
    {
        await _silo.Account("ada").OpenAsync(1_000);
        using (_silo.Hold("ada"))
        {
            await PlaceAsync("1", "ada", 300, DateTimeOffset.UtcNow.AddMilliseconds(500));
            Assert.Equal(OrderStatus.Cancelled, await DecidedAsync("1"));
        }
        await UntilAsync(async () => (await _silo.Account("ada").GetAsync()).Returned == 300);
        Assert.Equal(new AccountView(Balance: 1_000, Opened: 1_000, Taken: 300, Returned: 300), await _silo.Account("ada").GetAsync());
        Assert.Equal(OrderStatus.Cancelled, (await _silo.Order("1").GetAsync()).Status);
    }

    [Fact]
    public async Task Order_that_comes_after_its_deadline_is_not_placed()
    {
        await _silo.Account("ada").OpenAsync(1_000);
        await _silo.Order("1").ExpireAsync();       // The deadline of an order whose write failed.
        Assert.Equal(OrderStatus.Cancelled, (await PlaceAsync("1", "ada", 300)).Status);
    }

    [Fact]
    public async Task Events_of_a_customer_are_counted_by_the_stream()
    {
        await _silo.Account("ada").OpenAsync(1_000);
        for (var number = 0; number < 6; number++)
            await PlaceAsync($"{number}", "ada", 300);
        await UntilAsync(async () => await _silo.Statistics("ada").GetAsync() is { Paid: 3, Declined: 3 });
        Assert.Equal(new StatisticsView(Placed: 6, Paid: 3, Declined: 3, Cancelled: 0, PaidCents: 900),
            await _silo.Statistics("ada").GetAsync());
    }

    [Fact]
    public async Task Sums_balance_while_writes_of_the_storage_fail()
    {
        string[] customers = ["ada", "bob", "cy"];
        foreach (var customer in customers)
            await _silo.Account(customer).OpenAsync(2_000);
        _silo.Faults.Every = 7;
        await Task.WhenAll(Enumerable.Range(0, 60).Select(async number =>
        {
            var wanted = new NewOrder(customers[number % 3], 10 * (number + 1), DateTimeOffset.UtcNow.AddHours(1));
            while (true)
            {
                try
                {
                    await _silo.Order($"{number}").PlaceAsync(wanted);
                    return;
                }
                catch (Exception failed) when (failed is TimeoutException or OrleansException)
                {
                    // Not known whether it is placed: it is asked for again.
                }
            }
        }));
        var paid = 0L;
        for (var number = 0; number < 60; number++)
            paid += await DecidedAsync($"{number}") == OrderStatus.Paid ? 10 * (number + 1) : 0;
        Assert.True(_silo.Faults.Failed > 10, $"{_silo.Faults.Failed} writes failed");
        var accounts = await Task.WhenAll(customers.Select(customer => _silo.Account(customer).GetAsync()));
        Assert.Equal(6_000, accounts.Sum(static account => account.Balance) + paid);
        await UntilAsync(async () => await CountedAsync() == (60, 60));
        Assert.Equal(paid, (await Task.WhenAll(customers.Select(customer => _silo.Statistics(customer).GetAsync())))
            .Sum(static counts => counts.PaidCents));

        async Task<(int Placed, int Decided)> CountedAsync()
        {
            var counts = await Task.WhenAll(customers.Select(customer => _silo.Statistics(customer).GetAsync()));
            return (counts.Sum(static count => count.Placed), counts.Sum(static count => count.Paid + count.Declined));
        }
    }

    private Task<OrderView> PlaceAsync(string id, string customer, long cents, DateTimeOffset? payBy = null) =>
        _silo.Order(id).PlaceAsync(new NewOrder(customer, cents, payBy ?? DateTimeOffset.UtcNow.AddHours(1)));

    private async Task<OrderStatus> DecidedAsync(string id)
    {
        await UntilAsync(async () => (await _silo.Order(id).GetAsync()).Status is not (OrderStatus.None or OrderStatus.Placed));
        return (await _silo.Order(id).GetAsync()).Status;
    }

    private static async Task UntilAsync(Func<Task<bool>> isSo, [CallerArgumentExpression(nameof(isSo))] string what = "")
    {
        var began = TimeProvider.System.GetTimestamp();
        while (!await isSo())
        {
            Assert.True(TimeProvider.System.GetElapsedTime(began) < Patience, $"not in time: {what}");
            await Task.Delay(20);
        }
    }
}
