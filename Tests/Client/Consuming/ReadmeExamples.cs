using System.Collections.Concurrent;
using Microsoft.Extensions.Configuration;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Options;
using OrleansMq.Api;
using OrleansMq.Client;
using OrleansMq.Testing;
using OrleansMq.Tests.Shared;

namespace OrleansMq.Tests.Client.Consuming;

/// <summary>Runs the code of the client library that README.md and Client/README.md show.</summary>
public sealed class ReadmeExamples : IAsyncLifetime
{
    private static readonly ConcurrentQueue<string> s_billed = new();

    private TestBroker _broker = null!;

    public async Task InitializeAsync()
    {
        s_billed.Clear();
        _broker = await TestBroker.StartAsync();
        await _broker.Client.Admin.CreateTopicAsync("orders", 3);
        await using var producer = _broker.Client.CreateProducer<string, string>();
        await producer.SendAsync(new("orders", "customer-7", "two apples"));
    }

    public async Task DisposeAsync() => await _broker.DisposeAsync();

    [Fact]
    public void Readme_shows_this_code() => ReadmeSection.AssertIs("README.md",
        $"```csharp\n{ReadmeSection.Code("shop")}\n\n{ReadmeSection.Code("handler")}\n```\n",
        "<!-- service: from ReadmeExamples.cs -->", "<!-- end of service -->");

    [Fact]
    public void Client_readme_shows_this_code()
    {
        ReadmeSection.AssertIs("Client/README.md", $"```csharp\n{ReadmeSection.Code("connect")}\n{ReadmeSection.Code("send")}\n```\n",
            "<!-- sending: from ReadmeExamples.cs -->", "<!-- end of sending -->");
        ReadmeSection.AssertIs("Client/README.md",
            $"```csharp\n{ReadmeSection.Code("loop")}\n```\n\nOr with a handler, which a host starts and drains:\n\n"
                + $"```csharp\n{ReadmeSection.Code("handler")}\n\n{ReadmeSection.Code("registration")}\n```\n",
            "<!-- consumers: from ReadmeExamples.cs -->", "<!-- end of consumers -->");
        ReadmeSection.AssertIs("Client/README.md", $"```csharp\n{ReadmeSection.Code("configured")}\n```\n",
            "<!-- configured: from ReadmeExamples.cs -->", "<!-- end of configured -->");
    }

    [Fact]
    public async Task Client_readme_shows_settings_that_bind()
    {
        var readme = await File.ReadAllTextAsync(Path.Combine(ReadmeSection.RepositoryRoot(), "Client/README.md"));
        var json = readme[readme.IndexOf("```json\n", StringComparison.Ordinal)..][8..];
        var builder = Host.CreateApplicationBuilder();
        builder.Configuration.AddJsonStream(new MemoryStream(System.Text.Encoding.UTF8.GetBytes(
            json[..json.IndexOf("```", StringComparison.Ordinal)])));
        // configured
        var settings = builder.Configuration.GetSection("OrleansMq");
        builder.Services.AddOrleansMqClient(settings.GetSection("Client")).UseHttp(settings.GetSection("Http"))
            .AddConfiguredMessageHandler<string, string, Billing>(settings.GetSection("Billing"));
        // end of configured
        using var host = builder.Build();
        host.Services.GetRequiredService<IStartupValidator>().Validate();
        Assert.Equal("billing", host.Services.GetRequiredService<IOptionsMonitor<MessageHandlerOptions>>().Get("Billing").Consumer.GroupId);
    }

    [Fact]
    public void Client_over_http_needs_only_an_address()
    {
        // connect
        using var broker = new HttpBroker(new Uri("http://127.0.0.1:8080"));
        var client = new OrleansMqClient(broker);
        // end of connect
        Assert.Same(broker, client.Broker);
    }

    [Fact]
    public async Task Sent_records_are_read()
    {
        var client = _broker.Client;
        // send
        await client.Admin.EnsureTopicAsync("greetings", partitions: 3);

        await using (var producer = client.CreateProducer<string, string>())
        {
            var report = await producer.SendAsync(new("greetings", "customer-7", "hello"));         // completes when acknowledged
            Console.WriteLine($"{report.TopicPartition} at offset {report.Offset}");
            for (var i = 0; i < 1000; i++)
                await producer.EnqueueAsync(new("greetings", $"customer-{i}", "hello again"));      // completes when there is room
        }   // drains

        await using var reader = client.CreatePartitionReader<string, string>();
        reader.Assign(new TopicPartition("greetings", 0), ReadFrom.Earliest);
        await foreach (var record in reader)
        {
            Console.WriteLine($"{record.Offset}: {record.Key} = {record.Value}");
            if (record.Offset == 2)
                break;
        }
        // end of send
        Assert.Equal(3, await reader.GetPositionAsync(new TopicPartition("greetings", 0)));
    }

    [Fact]
    public async Task Service_sends_and_handler_receives()
    {
        var builder = Host.CreateApplicationBuilder();
        builder.Services.AddSingleton<Shop>().AddOrleansMqClient().UseBroker(_broker.Broker).AddProducer<string, string>()
            .AddMessageHandler<string, string, Billing>(
                new() { GroupId = "billing", AutoOffsetReset = AutoOffsetReset.Earliest },
                new() { Topics = ["orders"], Parallelism = HandlingParallelism.Key });
        using var host = builder.Build();
        await host.StartAsync();
        await host.Services.GetRequiredService<Shop>().OrderAsync("customer-8", "a pear");
        await Wait.UntilAsync(() => s_billed.Contains("customer-8: a pear"), "the order");
        await host.StopAsync();
    }

    [Fact]
    public async Task Loop_reads_and_commits()
    {
        var client = _broker.Client;
        using var stop = new CancellationTokenSource();
        var stopping = stop.Token;
        var looping = Task.Run(async () =>
        {
            // loop
            await using var consumer =
                client.CreateConsumer<string, string>(new() { GroupId = "billing", AutoOffsetReset = AutoOffsetReset.Earliest });
            consumer.Subscribe("orders");
            await foreach (var record in consumer.WithCancellation(stopping))
                await BillAsync(record.Key, record.Value);      // done, and committed in time, when the next record is asked for
            // end of loop
        });
        await Wait.UntilAsync(() => s_billed.Count == 1, "the order");
        await stop.CancelAsync();
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => looping.SoonAsync());
        Assert.Equal(["customer-7: two apples"], s_billed);
    }

    [Fact]
    public async Task Host_runs_a_handler()
    {
        var builder = Host.CreateApplicationBuilder();
        var services = builder.Services;
        var broker = _broker.Broker;
        // registration
        services.AddOrleansMqClient().UseBroker(broker)         // or UseHttp(...)
            .AddMessageHandler<string, string, Billing>(
                new() { GroupId = "billing", AutoOffsetReset = AutoOffsetReset.Earliest },
                new() { Topics = ["orders"], Parallelism = HandlingParallelism.Key, MaxInFlightPerPartition = 32 });
        // end of registration
        using var host = builder.Build();
        await host.StartAsync();
        await Wait.UntilAsync(() => s_billed.Count == 1, "the order");
        await host.StopAsync();
        var group = await broker.Groups.DescribeGroupAsync("billing");
        Assert.Empty(group.Members);
    }

    private static ValueTask BillAsync(string customer, string order)
    {
        s_billed.Enqueue($"{customer}: {order}");
        return default;
    }

    // shop
    internal sealed class Shop(IAdmin admin, IProducer<string, string> producer)
    {
        public async Task OrderAsync(string customer, string order)
        {
            await admin.EnsureTopicAsync("orders", partitions: 3);
            var report = await producer.SendAsync(new("orders", customer, order));      // completes when the record is acknowledged
            Console.WriteLine($"{report.TopicPartition} at offset {report.Offset}");
        }
    }
    // end of shop

    // handler
    internal sealed class Billing : IMessageHandler<string, string>
    {
        public async ValueTask HandleAsync(ConsumeResult<string, string> record, CancellationToken cancellationToken) =>
            await BillAsync(record.Key, record.Value);          // throws: tried again, then orders.dead-letter
    }
    // end of handler
}
