using Microsoft.Extensions.DependencyInjection;
using Orleans.Streams;
using OrleansMq.Client;
using OrleansMq.Streams;

namespace OrleansMq.Tests.OrleansPackages.Streams;

/// <summary>Subscriptions of services on a silo: they are in its process, as a client's are in its own, and end with the silo.</summary>
public sealed class ServiceSubscriptionTests : IAsyncLifetime
{
    private readonly TempDirectory _data = new();
    private TestSilo _silo = null!;
    private OrleansMqClient _client = null!;

    public async Task InitializeAsync()
    {
        _silo = await TestSilo.StartAsync(_data.Path, static silo => silo.AddOrleansMqStreams("test"));
        _client = new OrleansMqClient(_silo.Inside);
    }

    public async Task DisposeAsync()
    {
        await _silo.DisposeAsync();
        _data.Dispose();
    }

    [Fact]
    public async Task Service_receives_the_events_of_its_stream_from_a_token_or_the_end_on_and_removes_its_subscription()
    {
        await _client.Admin.CreateTopicAsync("service-reads", 1);
        await SendAsync("service-reads", 0, 5);
        object? caller = "none";
        var (late, early) = (new Observer { Script = _ => Task.FromResult(caller = RequestContext.Get("caller")) }, new Observer());
        RequestContext.Set("caller", "a request");
        var handle = await Stream("service-reads").SubscribeAsync(late);
        RequestContext.Clear();
        await Stream("service-reads").SubscribeAsync(early, StreamOffset.Earliest);
        await SendAsync("service-reads", 5, 10);
        await late.ReceivedAsync(Enumerable.Range(5, 5));
        await early.ReceivedAsync(Enumerable.Range(0, 10));
        // A request of the subscriber is none of the events'.
        Assert.Null(caller);
        handle = await handle.ResumeAsync(late, early.Tokens.First());
        await late.ReceivedAsync([.. Enumerable.Range(5, 5), .. Enumerable.Range(0, 10)]);
        Assert.Equal(2, (await Stream("service-reads").GetAllSubscriptionHandles()).Count);
        await handle.UnsubscribeAsync();
        Assert.Single(await Stream("service-reads").GetAllSubscriptionHandles());
        Assert.Contains("This process has no subscription", (await Assert.ThrowsAsync<InvalidOperationException>(handle.UnsubscribeAsync))
            .Message, StringComparison.Ordinal);
        // Nothing of it is stored.
        Assert.Empty(await _silo.Inside.Queues.ListAsync(new TopicPartition("service-reads", 0)));
        Assert.DoesNotContain(await _silo.Inside.ListTopicsAsync(), static topic => topic.Name.StartsWith(SubscriptionLog.Prefix,
            StringComparison.Ordinal));
    }

    [Fact]
    public async Task Code_of_a_grain_without_its_context_does_not_subscribe_in_the_process()
    {
        await _client.Admin.CreateTopicAsync("service-grain", 1);
        var refused = await Assert.ThrowsAsync<NotSupportedException>(() =>
            _silo.Client.GetGrain<IReaderGrain>("service-grain/k/1").SubscribeOutsideAsync());
        Assert.Contains("services.GetProcessStreamProvider(\"test\")", refused.Message, StringComparison.Ordinal);
        Assert.Empty(await Stream("service-grain").GetAllSubscriptionHandles());
        Assert.Contains("AddOrleansMqStreams(\"other\")", Assert.Throws<InvalidOperationException>(() =>
            _silo.Services.GetProcessStreamProvider("other")).Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Call_under_way_ends_before_the_silo_does_and_none_begins_after_that()
    {
        await _client.Admin.CreateTopicAsync("service-stops", 1);
        var (inCall, stopping) = (new TaskCompletionSource(), new TaskCompletionSource());
        var (grains, count) = (_silo.Services.GetRequiredService<IGrainFactory>(), -1);
        var observer = new Observer
        {
            Script = async _ =>
            {
                inCall.TrySetResult();
                await stopping.Task;
                count = await grains.GetGrain<IReaderGrain>("service-stops/k/1").CountAsync();
            },
        };
        await Stream("service-stops").SubscribeAsync(observer);
        await SendAsync("service-stops", 0, 5);
        await inCall.Task.WaitAsync(Wait.Deadline);
        var subscriptions = _silo.Services.GetRequiredKeyedService<ProcessStreams>("test").Subscriptions;
        var stream = Stream("service-stops");
        var ending = _silo.StopAsync();
        await Wait.UntilAsync(() => subscriptions.Find(stream.StreamId).Count == 0, "the silo ends its subscriptions");
        stopping.SetResult();
        await ending;
        Assert.Equal([0], observer.Numbers);
        Assert.Equal(0, count);
        Assert.Throws<ObjectDisposedException>(() => subscriptions.Subscribe(stream.StreamId, new TopicPartition("service-stops", 0),
            new StreamBegin(Guid.Empty, 0), new StreamObserver<Happened>(StreamFormat.Json(), observer, null)));
    }

    private IAsyncStream<Happened> Stream(string topic) =>
        _silo.Services.GetProcessStreamProvider("test").GetStream<Happened>(topic, "k");

    private async Task SendAsync(string topic, int from, int end)
    {
        await using var producer = _client.CreateProducer<string, string>();
        for (var number = from; number < end; number++)
            await producer.SendAsync(new(topic, "k", $$"""{"number":{{number}}}"""));
    }
}
