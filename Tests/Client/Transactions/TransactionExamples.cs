using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Hosting;
using OrleansMq.Client;
using OrleansMq.Testing;
using OrleansMq.Tests.Shared;

namespace OrleansMq.Tests.Client.Transactions;

/// <summary>Runs the transactions that Client/README.md shows.</summary>
public sealed class TransactionExamples : IAsyncLifetime
{
    private TestBroker _broker = null!;

    public async Task InitializeAsync()
    {
        _broker = await TestBroker.StartAsync();
        foreach (var topic in (string[])["orders", "invoices", "audit"])
            await _broker.Client.Admin.CreateTopicAsync(topic, 2);
    }

    public async Task DisposeAsync() => await _broker.DisposeAsync();

    [Fact]
    public void Client_readme_shows_this_code()
    {
        ReadmeSection.AssertIs("Client/README.md", $"```csharp\n{ReadmeSection.Code("transaction")}\n```\n",
            "<!-- transactions: from TransactionExamples.cs -->", "<!-- end of transactions -->");
        ReadmeSection.AssertIs("Client/README.md", $"```csharp\n{ReadmeSection.Code("processing")}\n```\n",
            "<!-- processing: from TransactionExamples.cs -->", "<!-- end of processing -->");
        ReadmeSection.AssertIs("Client/README.md",
            $"```csharp\n{ReadmeSection.Code("invoicing")}\n\n{ReadmeSection.Code("registration")}\n```\n",
            "<!-- registered transactions: from TransactionExamples.cs -->", "<!-- end of registered transactions -->");
    }

    [Fact]
    public async Task Transaction_over_two_topics_counts()
    {
        var client = _broker.Client;
        // transaction
        await using var producer = client.CreateTransactionalProducer<string, string>("billing-1");

        await using var transaction = await producer.BeginTransactionAsync();
        await transaction.EnqueueAsync(new("invoices", "customer-7", "12.50"));
        await transaction.EnqueueAsync(new("audit", "customer-7", "invoice written"));
        await transaction.CommitAsync();                        // both, or none
        // end of transaction
        Assert.Equal("12.50", await FirstAsync(client, "invoices"));
        Assert.Equal("invoice written", await FirstAsync(client, "audit"));
    }

    [Fact]
    public async Task Loop_writes_an_invoice_for_each_order()
    {
        var client = _broker.Client;
        await using (var producer = client.CreateProducer<string, string>())
            await producer.SendAsync(new("orders", "customer-7", "two apples"));
        using var stop = new CancellationTokenSource();
        var stopping = stop.Token;
        var loop = RunAsync();
        Assert.Equal("invoice for two apples", await FirstAsync(client, "invoices"));
        await stop.CancelAsync();
        await loop.SoonAsync();

        async Task RunAsync()
        {
            // processing
            await client.ProcessAsync<string, string, string, string>(
                new() { GroupId = "billing", AutoOffsetReset = AutoOffsetReset.Earliest },
                new() { Topics = ["orders"], TransactionalId = "billing-1" },
                (order, _) => new([new("invoices", order.Key, $"invoice for {order.Value}")]),
                cancellationToken: stopping);
            // end of processing
        }
    }

    [Fact]
    public async Task Host_runs_the_loop_and_injects_the_producer()
    {
        var broker = _broker.Broker;
        var builder = Host.CreateApplicationBuilder();
        var services = builder.Services;
        // registration
        services.AddOrleansMqClient().UseBroker(broker)         // or UseHttp(...)
            .AddTransactionalProducer<string, string>("billing-audit-1")
            .AddTransactionalHandler<string, string, string, string, Invoicing>(
                new() { GroupId = "billing", AutoOffsetReset = AutoOffsetReset.Earliest },
                new() { Topics = ["orders"], TransactionalId = "billing-1" });
        // end of registration
        using var host = builder.Build();
        await host.StartAsync().SoonAsync();
        await using (var transaction = await host.Services.GetRequiredService<ITransactionalProducer<string, string>>()
            .BeginTransactionAsync().SoonAsync())
        {
            await transaction.EnqueueAsync(new("orders", "customer-7", "two apples"));
            await transaction.CommitAsync().SoonAsync();
        }
        Assert.Equal("invoice for two apples", await FirstAsync(_broker.Client, "invoices"));
        await host.StopAsync().SoonAsync();
        Assert.Equal(1, (await _broker.Client.Admin.Groups.GetLagAsync("billing")).Sum(static lag => lag.Committed ?? 0));
    }

    // invoicing
    internal sealed class Invoicing : ITransactionalHandler<string, string, string, string>
    {
        public ValueTask<IEnumerable<ProducerRecord<string, string>>> HandleAsync(ConsumeResult<string, string> order,
            CancellationToken cancellationToken) =>
            new([new("invoices", order.Key, $"invoice for {order.Value}")]);
    }
    // end of invoicing

    private static async Task<string> FirstAsync(OrleansMqClient client, string topic)
    {
        await using var reader = client.CreatePartitionReader<string, string>(
            new ReaderOptions { Isolation = IsolationLevel.ReadCommitted });
        reader.Assign(await client.Admin.ListPartitionsAsync(topic), ReadFrom.Earliest);
        return (await reader.ReadAsync().SoonAsync()).Value;
    }
}
