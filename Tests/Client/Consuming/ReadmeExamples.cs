using System.Collections.Concurrent;
using System.Runtime.CompilerServices;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Hosting;
using OrleansMq.Client;
using OrleansMq.Testing;
using OrleansMq.Tests.Shared;

namespace OrleansMq.Tests.Client.Consuming;

/// <summary>What the README shows of consumers is what runs here.</summary>
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
    public void The_readme_shows_what_runs_here() =>
        ReadmeSection.AssertIs($"```csharp\n{Region("loop")}\n```\n\nOr with a handler, which a host starts and "
        + $"drains:\n\n```csharp\n{Region("handler")}\n\n{Region("registration")}\n```\n",
            "<!-- consumers: from ReadmeExamples.cs -->", "<!-- end of consumers -->");

    [Fact]
    public async Task A_loop_reads_and_commits()
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
    public async Task A_host_runs_a_handler()
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

    // handler
    internal sealed class Billing : IMessageHandler<string, string>
    {
        public async ValueTask HandleAsync(ConsumeResult<string, string> record, CancellationToken cancellationToken) =>
            await BillAsync(record.Key, record.Value);          // throws: tried again, then orders.dead-letter
    }
    // end of handler

    private static string Region(string name, [CallerFilePath] string path = "")
    {
        var lines = File.ReadAllLines(path);
        var begin = Array.FindIndex(lines, line => line.Trim() == $"// {name}") + 1;
        var end = Array.FindIndex(lines, line => line.Trim() == $"// end of {name}");
        var indent = lines[begin].Length - lines[begin].TrimStart().Length;
        return string.Join('\n', lines[begin..end].Select(line => line.Length > indent ? line[indent..] : ""));
    }
}
