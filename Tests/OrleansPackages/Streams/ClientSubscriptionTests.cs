using System.Collections.Concurrent;
using Microsoft.Extensions.DependencyInjection;
using Orleans.Streams;
using OrleansMq.Client;
using OrleansMq.Streams;

namespace OrleansMq.Tests.OrleansPackages.Streams;

/// <summary>Subscriptions of an Orleans client beside one silo: they receive what comes, or from a token on, in order, for as long as the
/// client lives.</summary>
public sealed class ClientSubscriptionTests : IAsyncLifetime
{
    private const int Attempts = 3;

    private readonly TempDirectory _data = new();
    private TestSilo _silo = null!;
    private OrleansMqClient _client = null!;

    public async Task InitializeAsync()
    {
        _silo = await TestSilo.StartAsync(_data.Path, static silo => silo.AddOrleansMqStreams("test"),
            static client => client.AddOrleansMqStreams("test", static options => options with
            {
                MaxAttempts = Attempts,
                RetryDelay = TimeSpan.FromMilliseconds(10),
            }));
        _client = new OrleansMqClient(_silo.Inside);
    }

    public async Task DisposeAsync()
    {
        await _silo.DisposeAsync();
        _data.Dispose();
    }

    [Fact]
    public async Task Client_receives_the_events_of_its_stream_after_the_subscription_at_its_own_pace()
    {
        await _client.Admin.CreateTopicAsync("client-reads", 2);
        await SendAsync("client-reads", 0, 5);
        var (slow, fast) = (new Observer { Gate = new() }, new Observer());
        await Stream("client-reads").SubscribeAsync(slow);
        await Stream("client-reads").SubscribeAsync(fast);
        await SendAsync("client-reads", 5, 25, others: true);
        await fast.ReceivedAsync(Enumerable.Range(5, 20));
        Assert.Empty(slow.Numbers);
        slow.Gate.SetResult();
        await slow.ReceivedAsync(Enumerable.Range(5, 20));
        Assert.Equal(2, (await Stream("client-reads").GetAllSubscriptionHandles()).Count);
        // A client leaves nothing at the broker.
        Assert.Empty(await _silo.Inside.Queues.ListAsync(new TopicPartition("client-reads", 0)));
    }

    [Fact]
    public async Task Batches_hold_waiting_events_and_one_that_fails_is_delivered_apart()
    {
        await SendAsync("client-batches", 0, 40);
        var observer = new BatchObserver();
        await Stream("client-batches").SubscribeAsync(observer, StreamOffset.Earliest);
        await Wait.UntilAsync(() => observer.Handled.Distinct().Count() == 39, "all but the one that fails");
        StreamAssert.IsInOrder([.. observer.Handled.Select(static number => number > 7 ? number - 1 : number)]);
        Assert.InRange(observer.Sizes.Max(), 2, 100);
        Assert.Contains("offset 7", Assert.Single(observer.Errors).Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Token_is_where_a_subscription_begins_and_where_a_resumed_one_goes_on()
    {
        var tokens = await SendAsync("client-token", 0, 20);
        var (first, second, third) = (new Observer(), new Observer(), new Observer());
        var handle = await Stream("client-token").SubscribeAsync(first, tokens[12]);
        await first.ReceivedAsync(Enumerable.Range(12, 8));
        Assert.Equal(tokens[12..], first.Tokens);
        handle = await handle.ResumeAsync(second, StreamOffset.Earliest);
        await second.ReceivedAsync(Enumerable.Range(0, 20));
        // Without a token it goes on where it is.
        await handle.ResumeAsync(third);
        await SendAsync("client-token", 20, 25);
        await third.ReceivedAsync(Enumerable.Range(20, 5));
        Assert.Equal((8, 20), (first.Numbers.Count, second.Numbers.Count));
        await Assert.ThrowsAsync<ArgumentException>(() => Stream("client-token").SubscribeAsync(first, new StreamOffset(0, 1_000)));
        Assert.Single(await Stream("client-token").GetAllSubscriptionHandles());
    }

    [Fact]
    public async Task No_call_of_the_observer_begins_after_the_subscription_was_removed()
    {
        var observer = new Observer { Gate = new() };
        await SendAsync("client-leaves", 0, 10);
        var handle = await Stream("client-leaves").SubscribeAsync(observer, StreamOffset.Earliest);
        await Wait.UntilAsync(() => observer.Calls == 1, "the first call");
        await handle.UnsubscribeAsync();
        observer.Gate.SetResult();
        var other = new Observer();
        await Stream("client-leaves").SubscribeAsync(other, StreamOffset.Earliest);
        await other.ReceivedAsync(Enumerable.Range(0, 10));
        Assert.Equal(1, observer.Calls);
        Assert.Single(await Stream("client-leaves").GetAllSubscriptionHandles());
        Assert.Contains("no subscription", (await Assert.ThrowsAsync<InvalidOperationException>(handle.UnsubscribeAsync)).Message,
            StringComparison.Ordinal);
        await Assert.ThrowsAsync<InvalidOperationException>(() => handle.ResumeAsync(observer));
    }

    [Fact]
    public async Task Observer_removes_its_own_subscription_in_a_call()
    {
        StreamSubscriptionHandle<Happened> handle = null!;
        var begin = new TaskCompletionSource();
        var observer = new Observer
        {
            Gate = begin,
            Script = number => number == 3 ? handle.UnsubscribeAsync() : Task.CompletedTask,
        };
        await SendAsync("client-leaves-itself", 0, 10);
        handle = await Stream("client-leaves-itself").SubscribeAsync(observer, StreamOffset.Earliest);
        begin.SetResult();
        await observer.ReceivedAsync(Enumerable.Range(0, 4));
        Assert.Empty(await Stream("client-leaves-itself").GetAllSubscriptionHandles());
        Assert.Equal(4, observer.Calls);
    }

    [Fact]
    public async Task Event_that_fails_is_tried_again_and_then_skipped_and_one_that_cannot_be_read_is_skipped_at_once()
    {
        var failures = new ConcurrentDictionary<int, int>();
        var observer = new Observer
        {
            Script = number => number == 4 || (number == 2 && failures.GetValueOrDefault(2) < Attempts - 1)
                ? Throw(failures.AddOrUpdate(number, 1, static (_, count) => count + 1)) : Task.CompletedTask,
        };
        await SendAsync("client-fails", 0, 6);
        await using (var producer = _client.CreateProducer<string, string>())
            await producer.SendAsync(new("client-fails", "k", "no JSON"));
        await SendAsync("client-fails", 6, 8);
        await Stream("client-fails").SubscribeAsync(observer, StreamOffset.Earliest);
        await observer.ReceivedAsync([0, 1, 2, 3, 5, 6, 7]);
        Assert.Equal((Attempts - 1, Attempts), (failures[2], failures[4]));
        Assert.Equal(2, observer.Errors.Count);
        Assert.Contains("offset 4, of stream client-fails/k was skipped after 3 attempt(s). System.InvalidOperationException: try",
            observer.Errors.First().Message, StringComparison.Ordinal);
        Assert.Contains("after 1 attempt(s)", observer.Errors.Last().Message, StringComparison.Ordinal);

        static Task Throw(int attempt) => throw new InvalidOperationException($"try {attempt}");
    }

    [Fact]
    public async Task Subscriptions_end_with_the_client_and_their_number_is_bounded()
    {
        Assert.Same(_silo.Client.GetStreamProvider("test"), _silo.Client.ServiceProvider.GetProcessStreamProvider("test"));
        await SendAsync("client-ends", 0, 1);
        var observer = new Observer();
        await Stream("client-ends").SubscribeAsync(observer);
        var clients = ((OrleansMqStreamProvider)_silo.Client.ServiceProvider.GetProcessStreamProvider("test")).Process!;
        for (var number = 1; number < ProcessSubscriptions.Most; number++)
            await Stream("client-ends").SubscribeAsync(new Observer());
        Assert.Contains("as many as it may", (await Assert.ThrowsAsync<InvalidOperationException>(() => Stream("client-ends")
            .SubscribeAsync(observer))).Message, StringComparison.Ordinal);
        await SendAsync("client-ends", 1, 2);
        await observer.ReceivedAsync([1]);
        await clients.StopAsync(CancellationToken.None);
        await SendAsync("client-ends", 2, 3);
        await Assert.ThrowsAsync<ObjectDisposedException>(() => Stream("client-ends").SubscribeAsync(observer));
        Assert.Equal([1], observer.Numbers);
        Assert.Empty(await Stream("client-ends").GetAllSubscriptionHandles());
    }

    private IAsyncStream<Happened> Stream(string topic) => _silo.Client.GetStreamProvider("test").GetStream<Happened>(topic, "k");

    private async Task<StreamSequenceToken[]> SendAsync(string topic, int from, int end, bool others = false)
    {
        if (!(await _silo.Inside.ListTopicsAsync()).Any(found => found.Name == topic))
            await _client.Admin.CreateTopicAsync(topic, 1);
        var tokens = new List<StreamSequenceToken>();
        await using var producer = _client.CreateProducer<string, string>();
        for (var number = from; number < end; number++)
        {
            for (var other = 0; others && other < 3; other++)
                await producer.SendAsync(new(topic, $"other-{other}", $$"""{"number":{{number}}}"""));
            var written = await producer.SendAsync(new(topic, "k", $$"""{"number":{{number}}}"""));
            tokens.Add(new StreamOffset(written.TopicPartition.Partition, written.Offset));
        }
        return [.. tokens];
    }

    private sealed class BatchObserver : IAsyncBatchObserver<Happened>
    {
        public ConcurrentQueue<int> Handled { get; } = [];
        public ConcurrentQueue<int> Sizes { get; } = [];
        public ConcurrentQueue<Exception> Errors { get; } = [];

        public Task OnNextAsync(IList<SequentialItem<Happened>> items)
        {
            Sizes.Enqueue(items.Count);
            foreach (var item in items)
            {
                if (item.Item.Number == 7)
                    throw new InvalidOperationException("7");
                Handled.Enqueue(item.Item.Number);
            }
            return Task.CompletedTask;
        }

        public Task OnErrorAsync(Exception ex)
        {
            Errors.Enqueue(ex);
            return Task.CompletedTask;
        }
    }
}

/// <summary>An observer of a client.</summary>
internal sealed class Observer : IAsyncObserver<Happened>
{
    private int _calls;

    public TaskCompletionSource? Gate { get; init; }
    public Func<int, Task>? Script { get; init; }
    public ConcurrentQueue<int> Numbers { get; } = [];
    public ConcurrentQueue<StreamSequenceToken> Tokens { get; } = [];
    public ConcurrentQueue<Exception> Errors { get; } = [];
    public int Calls => _calls;

    public async Task OnNextAsync(Happened item, StreamSequenceToken? token = null)
    {
        Interlocked.Increment(ref _calls);
        if (Gate is not null)
            await Gate.Task;
        if (Script is not null)
            await Script(item.Number);
        Tokens.Enqueue(token!);
        Numbers.Enqueue(item.Number);
    }

    public Task OnErrorAsync(Exception ex)
    {
        Errors.Enqueue(ex);
        return Task.CompletedTask;
    }

    public async Task ReceivedAsync(IEnumerable<int> expected)
    {
        var wanted = expected.ToArray();
        await Wait.UntilAsync(() => Task.FromResult(Numbers.Count >= wanted.Length), $"{wanted.Length} events",
            () => Task.FromResult(string.Join(' ', Numbers)));
        Assert.Equal(wanted, Numbers);
    }
}
