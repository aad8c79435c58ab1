using System.Collections.Concurrent;
using System.Text;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Hosting;
using OrleansMq.Client;
using OrleansMq.Testing;

namespace OrleansMq.Tests.Client.Requests;

/// <summary>Requests and replies where a host runs the handlers, and where a queue delivers the requests.</summary>
public sealed class RequestHandlerTests : IAsyncLifetime
{
    private static readonly ConsumerOptions s_pricing = new() { GroupId = "pricing", AutoOffsetReset = AutoOffsetReset.Earliest };
    private static readonly RequesterOptions s_requests = new() { Topic = "prices", ReplyTopic = "prices-replies" };

    private TestBroker _broker = null!;

    public async Task InitializeAsync() => _broker = await TestBroker.StartAsync();

    public async Task DisposeAsync() => await _broker.DisposeAsync();

    [Fact]
    public async Task Host_answers_what_its_handler_returns_and_throws_and_what_cannot_be_deserialized()
    {
        var builder = Host.CreateApplicationBuilder();
        builder.Services.AddOrleansMqClient().UseBroker(_broker.Broker).AddTopic("prices", 3).AddTopic("prices-replies", 2)
            .AddRequester<string, int, long>(s_requests).AddResponder<long>()
            .AddRequestHandler<string, int, long, Doubling>(s_pricing, new() { Topics = ["prices"] });
        using var host = builder.Build();
        await host.StartAsync().SoonAsync();
        var requester = host.Services.GetRequiredService<IRequester<string, int, long>>();
        Assert.Equal(Enumerable.Range(0, 30).Select(static number => 2L * number), await Task.WhenAll(
            Enumerable.Range(0, 30).Select(number => requester.RequestAsync($"{number}", number))).SoonAsync());
        var failure = await Assert.ThrowsAsync<RequestFailedException>(() => requester.RequestAsync("k", -1).SoonAsync());
        Assert.Equal((RequestFailure.Handler, typeof(ArgumentException).FullName), (failure.Failure, failure.ErrorType));
        Assert.EndsWith("failed: -1 has no double here", failure.Message, StringComparison.Ordinal);
        await using var wrong = _broker.Client.CreateRequester<string, string, long>(s_requests);
        failure = await Assert.ThrowsAsync<RequestFailedException>(() => wrong.RequestAsync("k", "no number").SoonAsync());
        Assert.Equal((RequestFailure.Handler, typeof(DeserializationException).FullName), (failure.Failure, failure.ErrorType));
        Assert.Equal(new ResponderStatistics(30, 2, 0, 0, 0), host.Services.GetRequiredService<IResponder<long>>().Statistics);
        var handler = Assert.Single(host.Services.GetServices<IHostedMessageHandler>());
        Assert.Equal("Doubling", handler.Name);
        await Wait.UntilAsync(() => handler.Statistics == new MessageProcessorStatistics(32, 0, 0, 0), "each request is done at once");
        await host.StopAsync().SoonAsync();
    }

    [Fact]
    public async Task Queue_delivers_each_request_to_one_responder()
    {
        await _broker.Client.Admin.CreateTopicAsync("prices", 2);
        await _broker.Client.Admin.CreateTopicAsync("prices-replies", 1);
        await using var requester = _broker.Client.CreateRequester<string, string, string>(s_requests);
        await using var responder = _broker.Client.CreateResponder<string>();
        await using var queue = _broker.Client.CreateQueueConsumer<string, string>(
            new() { Topic = "prices", Queue = "pricing", Create = new() });
        var handled = new ConcurrentQueue<string>();
        using var stop = new CancellationTokenSource();
        var running = queue.RunAsync(async (message, stopping) => await responder.AnswerAsync(message.Headers, _ =>
        {
            handled.Enqueue(message.Value);
            return new($"{message.Value}!");
        }, stopping), concurrency: 4, stop.Token);
        Assert.Equal(Enumerable.Range(0, 20).Select(static number => $"{number}!"), await Task.WhenAll(
            Enumerable.Range(0, 20).Select(number => requester.RequestAsync($"{number}", $"{number}"))).SoonAsync());
        Assert.Equal(20, handled.Count);
        await stop.CancelAsync();
        await running.ContinueWith(static _ => { }, TaskScheduler.Default).SoonAsync();
    }

    [Fact]
    public void Request_handler_without_a_responder_is_refused()
    {
        var builder = new ServiceCollection().AddOrleansMqClient();
        var failure = Assert.Throws<InvalidOperationException>(() =>
            builder.AddRequestHandler<string, int, long, Doubling>(s_pricing, new() { Topics = ["prices"] }));
        Assert.Contains("Call AddResponder<Int64>() before AddRequestHandler", failure.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Types_without_a_format_are_refused_at_their_registration()
    {
        var builder = new ServiceCollection().AddOrleansMqClient();
        Assert.Throws<InvalidOperationException>(() => builder.AddResponder<StringBuilder>());
        Assert.Throws<InvalidOperationException>(() => builder.AddRequester<string, string, StringBuilder>(s_requests));
        Assert.Throws<InvalidOperationException>(() => builder.AddRequester<string, StringBuilder, string>(s_requests));
    }

    internal sealed class Doubling : IRequestHandler<string, int, long>
    {
        public ValueTask<long> HandleAsync(ConsumeResult<string, int> request, CancellationToken cancellationToken) =>
            request.Value >= 0 ? new(2L * request.Value) : throw new ArgumentException($"{request.Value} has no double here");
    }
}
