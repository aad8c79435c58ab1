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

    private static async Task<string> FirstAsync(OrleansMqClient client, string topic)
    {
        await using var reader = client.CreatePartitionReader<string, string>(
            new ReaderOptions { Isolation = IsolationLevel.ReadCommitted });
        reader.Assign(await client.Admin.ListPartitionsAsync(topic), ReadFrom.Earliest);
        return (await reader.ReadAsync().SoonAsync()).Value;
    }
}
