using System.Collections.Concurrent;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Hosting;
using OrleansMq.Client;
using OrleansMq.Testing;
using OrleansMq.Tests.Shared;

namespace OrleansMq.Tests.Client.Requests;

/// <summary>Runs the code that the page about requests, replies and broadcasts shows. A test of the cluster runs that of
/// the grain.</summary>
public sealed class RequestPageTests : IAsyncLifetime
{
    private const string Page = "Client/OrleansMq.Client/REQUESTS.md";

    private static readonly ConcurrentQueue<string> s_forgotten = new();

    private TestBroker _broker = null!;

    public async Task InitializeAsync()
    {
        s_forgotten.Clear();
        _broker = await TestBroker.StartAsync();
        foreach (var topic in (string[])["prices", "prices-replies", "settings"])
            await _broker.Client.Admin.CreateTopicAsync(topic, 2);
    }

    public async Task DisposeAsync() => await _broker.DisposeAsync();

    [Theory]
    [InlineData("asking", "ask")]
    [InlineData("answering", "handler", "answer")]
    [InlineData("queue", "work")]
    [InlineData("broadcast", "subscribe")]
    [InlineData("hosted", "listener", "listen")]
    public void Page_shows_this_code(string section, params string[] regions) => ReadmeSection.AssertIs(Page,
        $"```csharp\n{string.Join("\n\n", regions.Select(static region => ReadmeSection.Code(region)))}\n```\n",
        $"<!-- {section}: from RequestPageTests.cs -->", $"<!-- end of {section} -->");

    [Fact]
    public async Task Handler_in_a_host_answers()
    {
        var builder = Host.CreateApplicationBuilder();
        var (services, broker, client) = (builder.Services, _broker.Broker, _broker.Client);
        // answer
        services.AddOrleansMqClient().UseBroker(broker)         // or UseHttp(...)
            .AddResponder<string>()
            .AddRequestHandler<string, string, string, Prices>(
                new() { GroupId = "pricing", AutoOffsetReset = AutoOffsetReset.Latest },
                new() { Topics = ["prices"], Parallelism = HandlingParallelism.Key });
        // end of answer
        using var host = builder.Build();
        await host.StartAsync().SoonAsync();
        var handler = Assert.Single(host.Services.GetServices<IHostedMessageHandler>());
        await Wait.UntilAsync(() => handler.Assignment.Count == 2, "the handler is assigned");
        await AnswersAsync("apple");
        var stopping = CancellationToken.None;
        // ask
        await using var prices = client.CreateRequester<string, string, string>(new()
        {
            Topic = "prices",
            ReplyTopic = "prices-replies",
        });
        try
        {
            var price = await prices.RequestAsync("apple", "EUR", timeout: TimeSpan.FromSeconds(30), stopping);
            Console.WriteLine($"An apple costs {price}");
        }
        catch (TimeoutException late)               // it may have been handled
        {
            Console.WriteLine(late.Message);
        }
        catch (RequestFailedException failed)       // the handler threw, or the reply cannot be read
        {
            Console.WriteLine(failed.Message);
        }
        // end of ask
        Assert.Equal(1, prices.Statistics.Answered);
        await host.StopAsync().SoonAsync();
    }

    [Fact]
    public async Task Consumer_of_a_queue_answers()
    {
        var client = _broker.Client;
        using var stop = new CancellationTokenSource();
        var stoppingToken = stop.Token;
        var working = Task.Run(async () =>
        {
            // work
            await using var responder = client.CreateResponder<string>();
            await using var queue = client.CreateQueueConsumer<string, string>(
                new() { Topic = "prices", Queue = "pricing", Create = new() });
            await queue.RunAsync(async (message, stopping) =>
                await responder.AnswerAsync(message.Headers, _ => FindPriceAsync(message.Key, message.Value), stopping),
                concurrency: 8, stoppingToken);
            // end of work
        });
        await using var prices = CreateRequester();
        Assert.Equal("apple in EUR: 0.50", await prices.RequestAsync("apple", "EUR").SoonAsync());
        await stop.CancelAsync();
        await working.ContinueWith(static _ => { }, TaskScheduler.Default).SoonAsync();
    }

    [Fact]
    public async Task Subscription_receives()
    {
        var client = _broker.Client;
        // subscribe
        await using var subscription = await client.SubscribeBroadcastAsync<string, string>(new() { Topic = "settings" },
            (message, stopping) => ForgetAsync(message.Key, stopping));
        // Each message from here on is received.
        await using var producer = client.CreateProducer<string, string>();
        await producer.SendAsync(new("settings", "colour", "blue"));
        // end of subscribe
        await Wait.UntilAsync(() => s_forgotten.Contains("colour"), "the message");
    }

    [Fact]
    public async Task Handler_in_a_host_receives()
    {
        var builder = Host.CreateApplicationBuilder();
        var (services, broker) = (builder.Services, _broker.Broker);
        // listen
        services.AddOrleansMqClient().UseBroker(broker)         // or silo.AddOrleansMqClient()
            .AddBroadcastHandler<string, string, Settings>(new() { Topic = "settings" });
        // end of listen
        using var host = builder.Build();
        await host.StartAsync().SoonAsync();
        await using var producer = _broker.Client.CreateProducer<string, string>();
        await producer.SendAsync(new("settings", "colour", "blue"));
        await Wait.UntilAsync(() => s_forgotten.Contains("colour"), "the message");
        await host.StopAsync().SoonAsync();
    }

    private IRequester<string, string, string> CreateRequester() =>
        _broker.Client.CreateRequester<string, string, string>(new() { Topic = "prices", ReplyTopic = "prices-replies" });

    // A new group begins where the topic ends when its member looks that up, after the assignment: what is asked before is not answered.
    private async Task AnswersAsync(string fruit)
    {
        await using var requester = CreateRequester();
        using var deadline = new CancellationTokenSource(Wait.Deadline);
        while (true)
        {
            try
            {
                await requester.RequestAsync(fruit, "EUR", timeout: TimeSpan.FromSeconds(1), deadline.Token);
                return;
            }
            catch (TimeoutException)
            {
            }
        }
    }

    private static ValueTask<string> FindPriceAsync(string fruit, string currency) => new($"{fruit} in {currency}: 0.50");

    private static ValueTask ForgetAsync(string setting, CancellationToken cancellationToken)
    {
        cancellationToken.ThrowIfCancellationRequested();
        s_forgotten.Enqueue(setting);
        return default;
    }

    // handler
    internal sealed class Prices : IRequestHandler<string, string, string>
    {
        public async ValueTask<string> HandleAsync(ConsumeResult<string, string> request, CancellationToken cancellationToken) =>
            await FindPriceAsync(request.Key, request.Value);       // what it throws is what the caller receives
    }
    // end of handler

    // listener
    internal sealed class Settings : IMessageHandler<string, string>
    {
        public async ValueTask HandleAsync(ConsumeResult<string, string> record, CancellationToken cancellationToken) =>
            await ForgetAsync(record.Key, cancellationToken);
    }
    // end of listener
}
