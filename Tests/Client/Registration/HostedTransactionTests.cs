using System.Collections.Concurrent;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Hosting;
using OrleansMq.Client;
using OrleansMq.Testing;

namespace OrleansMq.Tests.Client.Registration;

/// <summary>What a host does with registered transactional producers and handlers.</summary>
public sealed class HostedTransactionTests : IAsyncLifetime
{
    private static readonly ConsumerOptions s_billing = new() { GroupId = "billing", AutoOffsetReset = AutoOffsetReset.Earliest };
    private static readonly TransactionalProcessingOptions s_orders = new() { Topics = ["orders"], TransactionalId = "billing-1" };

    private readonly HostApplicationBuilder _builder = Host.CreateApplicationBuilder();
    private readonly Journal _journal = new();
    private TestBroker _broker = null!;

    public async Task InitializeAsync()
    {
        _broker = await TestBroker.StartAsync();
        _builder.Services.AddSingleton(_journal);
    }

    public async Task DisposeAsync() => await _broker.DisposeAsync();

    private OrleansMqClientBuilder Client() => _builder.Services.AddOrleansMqClient().UseBroker(_broker.Broker);

    [Fact]
    public async Task Handler_has_a_scope_for_each_record_and_its_topics_exist_at_the_start()
    {
        _builder.Services.AddScoped<Scope>();
        Client().AddTopic("orders").AddTopic("invoices")
            .AddTransactionalHandler<string, string, string, string, Scoped>(s_billing, s_orders);
        using var host = _builder.Build();
        await host.StartAsync().SoonAsync();
        await using (var producer = _broker.Client.CreateProducer<string, string>())
        {
            foreach (var value in (string[])["a", "b"])
                await producer.SendAsync(new("orders", "k", value)).SoonAsync();
        }
        await using var reader = _broker.Client.CreatePartitionReader<string, string>(new() { Isolation = IsolationLevel.ReadCommitted });
        reader.Assign(new TopicPartition("invoices", 0), ReadFrom.Earliest);
        // Results that are computed while they are read are read in the scope.
        Assert.Equal(["invoice for a", "invoice for b"],
            [(await reader.ReadAsync().SoonAsync()).Value, (await reader.ReadAsync().SoonAsync()).Value]);
        await host.StopAsync().SoonAsync();
        Assert.Equal(["begin", "a", "end", "begin", "b", "end"], _journal.Lines.Skip(2));
    }

    [Fact]
    public async Task Loop_that_ends_with_an_exception_stops_the_host()
    {
        Client().AddTopic("orders").AddTransactionalHandler<string, string, string, string, Failing>(s_billing,
            s_orders with { MaxAttempts = 2 });
        using var host = _builder.Build();
        await host.StartAsync().SoonAsync();
        await using (var producer = _broker.Client.CreateProducer<string, string>())
            await producer.SendAsync(new("orders", "k", "a")).SoonAsync();
        var lifetime = host.Services.GetRequiredService<IHostApplicationLifetime>();
        await Wait.UntilAsync(() => lifetime.ApplicationStopping.IsCancellationRequested, "the stop");
        Assert.Equal(2, _journal.Lines.Count);
        await Record.ExceptionAsync(() => host.StopAsync().SoonAsync());
    }

    [Fact]
    public async Task Handler_that_cannot_be_created_fails_the_start()
    {
        Client().AddTopic("orders").AddTransactionalHandler<string, string, string, string, Scoped>(s_billing, s_orders);
        using var host = _builder.Build();
        var failure = await Assert.ThrowsAsync<HandlerCreationException>(() => host.StartAsync().SoonAsync());
        Assert.Contains("Scoped", failure.Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Keyed_producers_have_transactions_of_their_own()
    {
        await _broker.Client.Admin.CreateTopicAsync("orders", 1);
        Client().AddTransactionalProducer<string, string>("one").AddKeyedTransactionalProducer<string, string>("second", "two");
        using var host = _builder.Build();
        await host.StartAsync().SoonAsync();
        var one = host.Services.GetRequiredService<ITransactionalProducer<string, string>>();
        var two = host.Services.GetRequiredKeyedService<ITransactionalProducer<string, string>>("second");
        Assert.Equal(("one", "two"), (one.TransactionalId, two.TransactionalId));
        await using (var outer = await one.BeginTransactionAsync().SoonAsync())
        await using (var inner = await two.BeginTransactionAsync().SoonAsync())
        {
            await outer.SendAsync(new("orders", "k", "a")).SoonAsync();
            await inner.SendAsync(new("orders", "k", "b")).SoonAsync();
            await inner.CommitAsync().SoonAsync();
            await outer.CommitAsync().SoonAsync();
        }
        await host.StopAsync().SoonAsync();
    }

    [Fact]
    public void Transactional_id_is_registered_once_and_a_loop_has_a_group()
    {
        var client = Client().AddTransactionalProducer<string, string>("one");
        Assert.Contains("'one' is registered already", Assert.Throws<ArgumentException>(() =>
            client.AddKeyedTransactionalProducer<string, string>("key", "one")).Message, StringComparison.Ordinal);
        Assert.Contains("'one' is registered already", Assert.Throws<ArgumentException>(() =>
            client.AddTransactionalHandler<string, string, string, string, Failing>(s_billing, s_orders with { TransactionalId = "one" }))
            .Message, StringComparison.Ordinal);
        Assert.Throws<ArgumentException>(() => client.AddTransactionalProducer<string, string>(""));
        Assert.Contains("GroupId", Assert.Throws<ArgumentException>(() =>
            client.AddTransactionalHandler<string, string, string, string, Failing>(s_billing with { GroupId = null }, s_orders)).Message,
            StringComparison.Ordinal);
        // Without an id each start has a new one.
        client.AddTransactionalHandler<string, string, string, string, Failing>(s_billing, s_orders with { TransactionalId = null })
            .AddTransactionalHandler<string, string, string, string, Failing>(s_billing, s_orders with { TransactionalId = null });
    }

    internal sealed class Journal
    {
        public ConcurrentQueue<string> Lines { get; } = new();
    }

    internal sealed class Scope : IDisposable
    {
        private readonly Journal _journal;

        public Scope(Journal journal)
        {
            _journal = journal;
            journal.Lines.Enqueue("begin");
        }

        public void Note(string value) => _journal.Lines.Enqueue(value);

        public void Dispose() => _journal.Lines.Enqueue("end");
    }

    internal sealed class Scoped(Scope scope) : ITransactionalHandler<string, string, string, string>
    {
        public ValueTask<IEnumerable<ProducerRecord<string, string>>> HandleAsync(ConsumeResult<string, string> record,
            CancellationToken cancellationToken) => new(Results(record));

        private IEnumerable<ProducerRecord<string, string>> Results(ConsumeResult<string, string> record)
        {
            scope.Note(record.Value);
            yield return new("invoices", record.Key, $"invoice for {record.Value}");
        }
    }

    internal sealed class Failing(Journal journal) : ITransactionalHandler<string, string, string, string>
    {
        public ValueTask<IEnumerable<ProducerRecord<string, string>>> HandleAsync(ConsumeResult<string, string> record,
            CancellationToken cancellationToken)
        {
            journal.Lines.Enqueue(record.Value);
            throw new InvalidOperationException("refused");
        }
    }
}
