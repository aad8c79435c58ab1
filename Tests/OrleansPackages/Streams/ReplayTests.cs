using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Logging.Abstractions;
using Orleans.Streams;
using OrleansMq.Client;
using OrleansMq.Consumers;
using OrleansMq.Streams;

namespace OrleansMq.Tests.OrleansPackages.Streams;

/// <summary>Subscriptions with tokens, on one silo: each receives from its token on, in order, and then what comes.</summary>
public sealed class ReplayTests : IAsyncLifetime
{
    private const int Attempts = 3;

    private readonly TempDirectory _data = new();
    private TestSilo _silo = null!;
    private OrleansMqClient _client = null!;

    public async Task InitializeAsync() => await StartAsync();

    public async Task DisposeAsync()
    {
        await _silo.DisposeAsync();
        _data.Dispose();
    }

    [Fact]
    public void Silo_that_does_not_lead_the_partition_looks_seldom_how_far_a_replay_is()
    {
        Assert.Equal(100, Enumerable.Range(0, 100).Count(static round => StreamReplays.Looks(isNear: true, round)));
        Assert.Equal([0, 10, 20, 30, 40, 50, 60, 70, 80, 90],
            Enumerable.Range(0, 100).Where(static round => StreamReplays.Looks(isNear: false, round)));
    }

    [Fact]
    public async Task Subscription_with_a_token_receives_from_that_event_on_and_then_what_comes()
    {
        var tokens = await CreateAsync("replay-from", events: 60, others: 5);
        var (reader, other) = (Reader("replay-from/k/1"), Reader("replay-from/k/2"));
        await other.SubscribeAsync();
        var sending = SendAsync("replay-from", 60, 140);
        await reader.SubscribeFromAsync(tokens[20]);
        await sending;
        await ReceivedAsync(reader, Enumerable.Range(20, 120));
        await ReceivedAsync(other, Enumerable.Range(60, 80));
        await EndedAsync("replay-from");
        await SendAsync("replay-from", 140, 150);
        await ReceivedAsync(reader, Enumerable.Range(20, 130));
        Assert.Equal(0, await LettersAsync("replay-from"));
    }

    [Fact]
    public async Task Replay_that_ends_at_an_open_transaction_passes_over_nothing_behind_it()
    {
        var tokens = await CreateAsync("replay-open", events: 10);
        var reader = Reader("replay-open/k/1");
        await using var producer = _client.CreateTransactionalProducer<string, string>("replay-open");
        await using var transaction = await producer.BeginTransactionAsync();
        await transaction.SendAsync(new("replay-open", "k", """{"number":10}"""));
        await SendAsync("replay-open", 11, 30);
        await reader.SubscribeFromAsync(tokens[0]);
        await ReceivedAsync(reader, Enumerable.Range(0, 10));
        // Long enough for several looks at how far it is: a replay that took the end of the log for what it has had would join meanwhile.
        await Task.Delay(TimeSpan.FromSeconds(4));
        await transaction.CommitAsync();
        await ReceivedAsync(reader, Enumerable.Range(0, 30));
        await EndedAsync("replay-open");
    }

    [Fact]
    public async Task Handle_that_is_resumed_with_a_token_rewinds_its_subscription_alone()
    {
        await _client.Admin.CreateTopicAsync("replay-resume", 1);
        var (reader, other) = (Reader("replay-resume/k/1"), Reader("replay-resume/k/2"));
        var handle = await reader.SubscribeAsync();
        await other.SubscribeAsync();
        var tokens = await SendAsync("replay-resume", 0, 30);
        await ReceivedAsync(reader, Enumerable.Range(0, 30));
        await reader.ResumeFromAsync(handle, tokens[10]);
        await SendAsync("replay-resume", 30, 40);
        await ReceivedAsync(reader, [.. Enumerable.Range(0, 30), .. Enumerable.Range(10, 30)]);
        // Further back, and before the first is over.
        await reader.ResumeFromAsync(handle, tokens[25]);
        await reader.ResumeFromAsync(handle, tokens[5]);
        await Wait.UntilAsync(() => Received(reader) is [.., 39] received && received[^35..].SequenceEqual(Enumerable.Range(5, 35)),
            "all from the earliest token on");
        await EndedAsync("replay-resume");
        await SendAsync("replay-resume", 40, 45);
        await Wait.UntilAsync(() => Received(reader) is [.., 44] received && received[^40..].SequenceEqual(Enumerable.Range(5, 40)),
            "what comes then");
        Assert.Equal(1, await reader.CountAsync());
        await ReceivedAsync(other, Enumerable.Range(0, 45));
    }

    [Fact]
    public async Task Replay_that_is_slow_holds_no_other_subscriber_of_its_stream_back()
    {
        var tokens = await CreateAsync("replay-slow", events: 10);
        var gate = new TaskCompletionSource();
        StreamScript.On("replay-slow", (happened, grain) => happened.Number == 3 && grain.GetPrimaryKeyString().EndsWith('1')
            ? gate.Task : Task.CompletedTask);
        var (reader, other) = (Reader("replay-slow/k/1"), Reader("replay-slow/k/2"));
        await other.SubscribeAsync();
        await reader.SubscribeFromAsync(tokens[0]);
        await SendAsync("replay-slow", 10, 50);
        await ReceivedAsync(other, Enumerable.Range(10, 40));
        await ReceivedAsync(reader, Enumerable.Range(0, 3));
        gate.SetResult();
        await ReceivedAsync(reader, Enumerable.Range(0, 50));
    }

    [Fact]
    public async Task Replay_goes_on_after_the_silo_and_the_activation_in_its_middle()
    {
        var tokens = await CreateAsync("replay-restart", events: 60);
        StreamScript.On("replay-restart", static (happened, grain) =>
        {
            if (happened.Number % 10 == 7)
                ((IGrainBase)grain).DeactivateOnIdle();
            return Task.Delay(5);
        });
        await Reader("replay-restart/k/1").SubscribeFromAsync(tokens[0]);
        await Wait.UntilAsync(() => Received(Reader("replay-restart/k/1")).Length > 10, "a part");
        await _silo.DisposeAsync();
        await StartAsync();
        await SendAsync("replay-restart", 60, 80);
        await Wait.UntilAsync(() => Received(Reader("replay-restart/k/1")).Distinct().Count() == 80, "all");
        StreamAssert.IsInOrder(Received(Reader("replay-restart/k/1")));
        await EndedAsync("replay-restart");
        Assert.Equal(0, await LettersAsync("replay-restart"));
    }

    [Fact]
    public async Task Subscription_that_is_removed_in_the_middle_of_its_replay_receives_nothing_more_and_leaves_no_queue()
    {
        var tokens = await CreateAsync("replay-leave", events: 500);
        // Ten seconds in all: the unsubscribe comes in the middle.
        StreamScript.On("replay-leave", static (_, _) => Task.Delay(20));
        var reader = Reader("replay-leave/k/1");
        var handle = await reader.SubscribeFromAsync(tokens[0]);
        await Wait.UntilAsync(() => Received(reader).Length > 5, "a part");
        await reader.UnsubscribeAsync(handle);
        var received = Received(reader).Length;
        Assert.InRange(received, 6, 499);
        await EndedAsync("replay-leave");
        Assert.Equal(Enumerable.Range(0, Received(reader).Length), Received(reader));
        // The call that was under way may have ended with an event more.
        Assert.InRange(Received(reader).Length, received, received + 1);
        Assert.Equal(0, await reader.CountAsync());
    }

    [Fact]
    public async Task Event_of_a_replay_whose_observer_always_throws_is_dead_lettered_and_the_replay_goes_on()
    {
        var tokens = await CreateAsync("replay-fails", events: 10);
        StreamScript.On("replay-fails", static (happened, _) => happened.Number == 4 ? throw new InvalidOperationException("never")
            : Task.CompletedTask);
        await Reader("replay-fails/k/1").SubscribeFromAsync(tokens[2]);
        await ReceivedAsync(Reader("replay-fails/k/1"), [2, 3, 5, 6, 7, 8, 9]);
        await EndedAsync("replay-fails");
        Assert.Equal(1, await LettersAsync("replay-fails"));
    }

    [Fact]
    public async Task Token_that_the_topic_does_not_keep_any_more_begins_with_the_earliest_event()
    {
        var tokens = await CreateAsync("replay-gone", events: 20);
        await _silo.Inside.DeleteRecordsAsync(new TopicPartition("replay-gone", 0), ((StreamOffset)tokens[8]).Offset);
        await Reader("replay-gone/k/1").SubscribeFromAsync(tokens[2]);
        await SendAsync("replay-gone", 20, 25);
        await ReceivedAsync(Reader("replay-gone/k/1"), Enumerable.Range(8, 17));
        await Reader("replay-gone/k/2").SubscribeFromAsync(StreamOffset.Earliest);
        await ReceivedAsync(Reader("replay-gone/k/2"), Enumerable.Range(8, 17));
    }

    [Fact]
    public async Task Topic_that_is_deleted_in_the_middle_of_a_replay_delivers_its_new_events()
    {
        var tokens = await CreateAsync("replay-deleted", events: 200);
        StreamScript.On("replay-deleted", static (_, _) => Task.Delay(5));
        var reader = Reader("replay-deleted/k/1");
        await reader.SubscribeFromAsync(tokens[0]);
        await Wait.UntilAsync(() => Received(reader).Length > 3, "a part");
        await _client.Admin.DeleteTopicAsync("replay-deleted");
        await _client.Admin.CreateTopicAsync("replay-deleted", 1);
        await SendAsync("replay-deleted", 1_000, 1_010);
        await Wait.UntilAsync(() => Received(reader) is [.., 1_009], "the new events");
        Assert.Equal(Enumerable.Range(1_000, 10), Received(reader).Where(static number => number >= 1_000));
        await EndedAsync("replay-deleted");
    }

    [Fact]
    public async Task Token_of_another_stream_or_provider_is_refused_with_what_to_do()
    {
        await _client.Admin.CreateTopicAsync("replay-tokens", 1);
        var reader = Reader("replay-tokens/k/1");
        await ThrowsAsync<ArgumentException>("behind the end", () => reader.SubscribeFromAsync(new StreamOffset(0, 1_000)));
        await ThrowsAsync<ArgumentException>("partition 3", () => reader.SubscribeFromAsync(new StreamOffset(3, 0)));
        await ThrowsAsync<ArgumentException>("no position", () =>
            reader.SubscribeFromAsync(new Orleans.Providers.Streams.Common.EventSequenceTokenV2(0)));
        Assert.Equal(0, await reader.CountAsync());
        // The position after the last event.
        await reader.SubscribeFromAsync(new StreamOffset(0, 0));
        await SendAsync("replay-tokens", 0, 3);
        await ReceivedAsync(reader, Enumerable.Range(0, 3));

        static async Task ThrowsAsync<T>(string says, Func<Task> call) where T : Exception =>
            Assert.Contains(says, (await Assert.ThrowsAsync<T>(call)).Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Queue_that_a_silo_has_left_behind_is_deleted_and_that_of_a_replay_is_not()
    {
        var tokens = await CreateAsync("replay-stray", events: 5);
        var gate = new TaskCompletionSource();
        StreamScript.On("replay-stray", (_, _) => gate.Task);
        await Reader("replay-stray/k/1").SubscribeFromAsync(tokens[0]);
        var provider = (OrleansMqStreamProvider)Provider;
        var partition = new TopicPartition("replay-stray", 0);
        var stray = new Replay(Guid.NewGuid(), 1, Guid.NewGuid(), 0);
        await provider.Topics.CreateReplayQueueAsync(partition, "k"u8.ToArray(), stray, CancellationToken.None);
        var classes = new GrainClasses(_silo.Services.GetRequiredService<IClusterManifestProvider>(), TimeProvider.System);
        var caller = new GrainCaller(_silo.Client, classes, TimeSpan.FromMinutes(1), 1 << 20,
            new LostCalls(_silo.Client, LostCalls.DefaultInterval, TimeProvider.System), NullLogger.Instance);
        var replays = new StreamReplays(provider, _client, caller, new StreamSplits(provider, _client, NullLogger.Instance),
            NullLogger.Instance, local: null);
        await replays.SweepAsync([("replay-stray", 1)], TimeSpan.FromMinutes(1), CancellationToken.None);
        Assert.Equal(2, (await ReplayQueuesAsync("replay-stray")).Count);
        await replays.SweepAsync([("replay-stray", 1)], TimeSpan.Zero, CancellationToken.None);
        Assert.NotEqual(provider.Topics.QueueOf(stray), Assert.Single(await ReplayQueuesAsync("replay-stray")));
        gate.SetResult();
        await ReceivedAsync(Reader("replay-stray/k/1"), Enumerable.Range(0, 5));
    }

    [Fact]
    public async Task Queue_without_subscriptions_holds_no_events_after_a_restart()
    {
        await _client.Admin.CreateTopicAsync("replay-left", 1);
        var reader = Reader("replay-left/k/1");
        await reader.UnsubscribeAsync(await reader.SubscribeFromAsync(StreamOffset.Earliest));
        await _silo.DisposeAsync();
        await StartAsync();
        await SendAsync("replay-left", 0, 5);
        var partition = new TopicPartition("replay-left", 0);
        var queue = ((OrleansMqStreamProvider)Provider).Topics.ExplicitQueue;
        await Wait.UntilAsync(async () => (await _silo.Inside.Queues.DescribeAsync(partition, queue)).Unsettled == 0, "settled");
        Assert.Empty(Received(reader));
    }

    [Fact]
    public async Task Replay_with_the_number_of_another_delivers_its_events()
    {
        var (subscription, queue, observer) = (Guid.NewGuid(), Guid.NewGuid(), new CountingObserver());
        var consumer = new StreamConsumer(new NoContext(), _silo.Services);
        var first = new Replay(Guid.NewGuid(), 1, Guid.NewGuid(), 2);
        consumer.Attach(subscription, observer, first);
        await consumer.DeliverAsync(DeliveryOf(first.Id, 2, 3));
        await consumer.DeliverAsync(DeliveryOf(first.Id, 3, 4));
        await consumer.DeliverAsync(DeliveryOf(Guid.NewGuid(), 1, 2, 3));
        Assert.Equal([2, 3, 4, 1, 2, 3], observer.Offsets);

        StreamDelivery DeliveryOf(Guid replay, params long[] offsets) => new("test", StreamId.Create("replay-number", "k"), subscription,
            queue, 0, [.. offsets.Select(static offset => new StreamItem(offset, null))], 1, replay);
    }

    // Prints how long it takes; asserts that the events of the stream come, in order.
    [Fact]
    public async Task Stream_among_many_is_replayed_by_its_leader_alone()
    {
        await _client.Admin.CreateTopicAsync("replay-many", 1);
        await using (var producer = _client.CreateProducer<string, string>())
        {
            for (var number = 0; number < 100_000; number++)
            {
                await producer.EnqueueAsync(new("replay-many", number % 1_000 == 0 ? "k" : $"{number % 1_000}",
                    $$"""{"number":{{number / 1_000}}}"""));
            }
            await producer.FlushAsync();
        }
        await Reader("replay-many/k/1").SubscribeFromAsync(StreamOffset.Earliest);
        await ReceivedAsync(Reader("replay-many/k/1"), Enumerable.Range(0, 100));
        await EndedAsync("replay-many");
    }

    private async Task StartAsync()
    {
        _silo = await TestSilo.StartAsync(_data.Path, static silo => silo.AddOrleansMqStreams("test", static options => options with
        {
            MaxAttempts = Attempts,
            RetryDelay = TimeSpan.FromMilliseconds(20),
            RefreshInterval = TimeSpan.FromMilliseconds(100),
        }), static client => client.AddOrleansMqStreams("test"));
        _client = new OrleansMqClient(_silo.Inside);
    }

    private IStreamProvider Provider => _silo.Services.GetRequiredKeyedService<IStreamProvider>("test");

    private IReaderGrain Reader(string key) => _silo.Client.GetGrain<IReaderGrain>(key);

    // A topic with events of stream k, and as many of each of some other streams between them.
    private async Task<StreamSequenceToken[]> CreateAsync(string topic, int events, int others = 1)
    {
        await _client.Admin.CreateTopicAsync(topic, 1);
        return await SendAsync(topic, 0, events, others);
    }

    private async Task<StreamSequenceToken[]> SendAsync(string topic, int from, int end, int others = 0)
    {
        var tokens = new List<StreamSequenceToken>();
        await using var producer = _client.CreateProducer<string, string>();
        for (var number = from; number < end; number++)
        {
            for (var other = 0; other < others; other++)
                await producer.SendAsync(new(topic, $"other-{other}", $$"""{"number":{{number}}}"""));
            var written = await producer.SendAsync(new(topic, "k", $$"""{"number":{{number}}}"""));
            tokens.Add(new StreamOffset(0, written.Offset));
        }
        return [.. tokens];
    }

    private static int[] Received(IReaderGrain reader)
    {
        var parts = reader.GetPrimaryKeyString().Split('/');
        return StreamScript.Received(parts[0], parts[1], reader.GetGrainId().ToString());
    }

    private static async Task ReceivedAsync(IReaderGrain reader, IEnumerable<int> expected)
    {
        var wanted = expected.ToArray();
        await Wait.UntilAsync(() => Task.FromResult(Received(reader).Length >= wanted.Length),
            $"{wanted.Length} events of {reader.GetPrimaryKeyString()}", () => Task.FromResult(string.Join(' ', Received(reader))));
        Assert.Equal(wanted, Received(reader));
    }

    private async Task<List<string>> ReplayQueuesAsync(string topic) => [.. (await _silo.Inside.Queues.ListAsync(
        new TopicPartition(topic, 0))).Select(static queue => queue.Name)
        .Where(static name => name.Contains('@', StringComparison.Ordinal))];

    private Task EndedAsync(string topic) => Wait.UntilAsync(async () => (await ReplayQueuesAsync(topic)).Count == 0,
        $"the replays of {topic} leave no queue");

    private async Task<long> LettersAsync(string topic) =>
        (await _silo.Inside.DescribeTopicAsync($"{topic}.dead-letter")).Partitions.Sum(static partition => partition.HighWatermark);

    private sealed class NoContext : IGrainContextAccessor
    {
        public IGrainContext GrainContext => null!;
    }

    private sealed class CountingObserver : IStreamObserver
    {
        public List<long> Offsets { get; } = [];

        public bool TakesBatches => false;

        public Task<DeliveryAnswer> ObserveAsync(StreamDelivery delivery, int first, int end, IServiceProvider services)
        {
            Offsets.Add(delivery.Items[first].Offset);
            return Task.FromResult(new DeliveryAnswer(1, DeliveryOutcome.Served));
        }

        public Task<Exception?> GivenUpAsync(long offset, Exception cause) => Task.FromResult<Exception?>(null);
    }
}
