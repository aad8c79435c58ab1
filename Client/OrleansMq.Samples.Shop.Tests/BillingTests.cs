using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Hosting;
using OrleansMq.Client;
using OrleansMq.Samples.Shop.Worker;
using OrleansMq.Testing;

namespace OrleansMq.Samples.Shop.Tests;

/// <summary>The worker as it runs, over a broker inside of the test process.</summary>
public sealed class BillingTests : IAsyncLifetime
{
    private readonly CancellationTokenSource _deadline = new(TimeSpan.FromMinutes(1));
    private readonly FlakyBank _bank = new();
    private TestBroker _broker = null!;
    private IHost _worker = null!;

    private OrleansMqClient Client => _worker.Services.GetRequiredService<OrleansMqClient>();

    public async Task InitializeAsync()
    {
        _broker = await TestBroker.StartAsync();
        var builder = Host.CreateApplicationBuilder();
        builder.Services.AddSingleton<IBank>(_bank);
        builder.Services.AddOrleansMqClient().UseBroker(_broker.Broker).AddBilling();
        _worker = builder.Build();
        await _worker.StartAsync();
    }

    public async Task DisposeAsync()
    {
        await _worker.StopAsync();
        _worker.Dispose();
        await _broker.DisposeAsync();
        _deadline.Dispose();
    }

    [Fact]
    public async Task Order_is_invoiced()
    {
        await OrderAsync(new Order("1", "ada", "apple", 2));
        Assert.Equal(new Invoice("1", "ada", 6), await ReadAsync<Invoice>(Topics.Invoices));
    }

    [Fact]
    public async Task Order_is_tried_again_while_the_bank_is_away()
    {
        _bank.Failures = 2;
        await OrderAsync(new Order("1", "ada", "apple", 1));
        Assert.Equal("1", (await ReadAsync<Invoice>(Topics.Invoices)).OrderId);
    }

    [Theory]
    [InlineData(1, int.MaxValue)]   // Every attempt fails.
    [InlineData(0, 0)]              // No attempt is made.
    public async Task Order_that_cannot_be_billed_becomes_a_dead_letter(int quantity, int failures)
    {
        _bank.Failures = failures;
        await OrderAsync(new Order("1", "ada", "apple", quantity));
        while ((await Client.Admin.DeadLetters.ListAsync(cancellationToken: _deadline.Token)).Count == 0)
            await Task.Delay(50, _deadline.Token);
        Assert.Equal("1", (await ReadAsync<Order>("orders.dead-letter")).Id);
    }

    private async Task OrderAsync(Order order)
    {
        await using var producer = Client.CreateProducer<string, Order>();
        await producer.SendAsync(new(Topics.Orders, order.Customer, order), _deadline.Token);
    }

    private async Task<T> ReadAsync<T>(string topic)
    {
        await using var reader = Client.CreatePartitionReader<string, T>();
        reader.Assign(await Client.Admin.ListPartitionsAsync(topic, _deadline.Token), ReadFrom.Earliest);
        return (await reader.ReadAsync(_deadline.Token)).Value;
    }

    private sealed class FlakyBank : IBank
    {
        private int _calls;

        public int Failures { get; set; }

        public Task<decimal> ChargeAsync(Order order, CancellationToken cancellationToken) =>
            Interlocked.Increment(ref _calls) <= Failures ? throw new TimeoutException("The bank does not answer.")
                : new Bank().ChargeAsync(order, cancellationToken);
    }
}
