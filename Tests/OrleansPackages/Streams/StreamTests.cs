using System.Buffers.Binary;
using System.Net;
using System.Net.Sockets;
using System.Text;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Logging.Abstractions;
using Orleans.Serialization;
using Orleans.Streams;
using Orleans.Streams.PubSub;
using OrleansMq.Api;
using OrleansMq.Client;
using OrleansMq.Hosting;
using OrleansMq.Records;
using OrleansMq.Streams;
using OrleansMq.Tests.Shared;
using Xunit.Abstractions;

namespace OrleansMq.Tests.OrleansPackages.Streams;

/// <summary>Streams over topics, on one silo: who receives what, in which order, and what becomes of events that fail.</summary>
public sealed class StreamTests(ITestOutputHelper output) : IAsyncLifetime
{
    private static readonly TimeSpan Short = TimeSpan.FromMilliseconds(20);

    private readonly TempDirectory _data = new();
    private TestSilo _silo = null!;
    private OrleansMqClient _client = null!;

    public async Task InitializeAsync()
    {
        _silo = await StartAsync();
        _client = new OrleansMqClient(_silo.Inside);
    }

    public async Task DisposeAsync()
    {
        await _silo.DisposeAsync();
        _data.Dispose();
    }

    [Fact]
    public async Task Implicit_subscriber_receives_what_streams_the_client_and_Kafka_send()
    {
        await _client.Admin.CreateTopicAsync("implicit-mixed", 2);
        await Stream("implicit-mixed", "a").OnNextAsync(new Happened(1));
        await using (var producer = _client.CreateProducer<string, string>())
            await producer.SendAsync(new("implicit-mixed", "a", """{"number":2}"""));
        await ProduceOverKafkaAsync(await PartitionOfAsync("implicit-mixed", "a"), "a", """{"number":3}""");
        await Stream("implicit-mixed", "a").OnNextBatchAsync([new Happened(4), new Happened(5)]);
        await ReceivedAsync("implicit-mixed", "a", [1, 2, 3, 4, 5]);
        // The other direction.
        await using var reader = _client.CreatePartitionReader<string, string>();
        reader.Assign(await PartitionOfAsync("implicit-mixed", "a"), ReadFrom.Earliest);
        var read = await reader.ReadAsync().AsTask().WaitAsync(Wait.Deadline);
        Assert.Equal(("a", """{"number":1}"""), (read.Key, read.Value));
    }

    [Fact]
    public async Task Class_with_two_attributes_for_a_topic_is_listed_as_one_subscription()
    {
        var stream = StreamId.Create(TwiceGrain.Topic, "k");
        Assert.True(_silo.Services.GetRequiredKeyedService<IStreamProvider>("test").TryGetStreamSubscriptionManager(out var manager));
        var found = Assert.Single(await manager.GetSubscriptions("test", stream));
        Assert.Equal(_silo.Client.GetGrain<ITwiceGrain>("k").GetGrainId(), found.GrainId);
        Assert.Contains("remove the attribute", (await Assert.ThrowsAsync<NotSupportedException>(() =>
            manager.RemoveSubscription("test", stream, found.SubscriptionId))).Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Events_have_the_format_of_Orleans_where_their_provider_says_so()
    {
        await _silo.DisposeAsync();
        _silo = await StartAsync(static options => options with { Format = StreamFormat.Orleans });
        _client = new OrleansMqClient(_silo.Inside);
        await _client.Admin.CreateTopicAsync("implicit-format", 1);

        await Stream("implicit-format", "a").OnNextBatchAsync([new Happened(1), new Happened(2)]);

        await ReceivedAsync("implicit-format", "a", [1, 2]);
        await using var reader = _client.CreatePartitionReader<string, byte[]>();
        reader.Assign(new TopicPartition("implicit-format", 0), ReadFrom.Earliest);
        var read = await reader.ReadAsync().AsTask().WaitAsync(Wait.Deadline);
        Assert.Equal(new Happened(1), _silo.Services.GetRequiredService<Serializer>().Deserialize<Happened>(read.Value));
    }

    [Fact]
    public void Bytes_texts_and_numbers_have_the_formats_of_the_client_and_null_is_a_tombstone()
    {
        var (format, services) = (StreamFormat.Json(), _silo.Services);
        Assert.Equal([1, 2, 3], format.Serialize<byte[]>([1, 2, 3], services)!);
        Assert.Equal([1, 2, 3], format.Deserialize<byte[]>([1, 2, 3], services));
        Assert.Equal("täxt"u8.ToArray(), format.Serialize("täxt", services)!);
        Assert.Equal("täxt", format.Deserialize<string>("täxt"u8.ToArray(), services));
        Assert.Equal([0, 0, 1, 2], format.Serialize(258, services)!);
        Assert.Equal(258, format.Deserialize<int>([0, 0, 1, 2], services));
        Assert.Null(format.Serialize<Happened?>(null, services));
        Assert.Null(format.Deserialize<Happened?>(null, services));
        Assert.Equal("""{"number":7}"""u8.ToArray(), format.Serialize(new Happened(7), services)!);
    }

    [Fact]
    public async Task Implicit_subscriber_that_subscribes_when_it_is_activated_receives_the_stream_of_its_key()
    {
        var key = Guid.NewGuid();
        await Provider.GetStream<Happened>(ExactGrain.Topic, key).OnNextBatchAsync([.. Enumerable.Range(0, 50).Select(Event)]);
        await ReceivedAsync(ExactGrain.Topic, $"{key:N}", [.. Enumerable.Range(0, 50)]);
    }

    /// <summary>Prints rates; asserts that all events come, in order.</summary>
    [Theory]
    [InlineData(1, 1, 1_000)]
    [InlineData(1, 100, 20_000)]
    [InlineData(1_000, 1, 20_000)]
    [InlineData(1_000, 100, 20_000)]
    public async Task Backlog_of_streams_is_delivered_in_order(int streams, int batch, int events)
    {
        var topic = $"implicit-backlog-{streams}-{batch}";
        await _silo.DisposeAsync();
        await using (var without = await TestSilo.StartAsync(_data.Path))
        {
            await new OrleansMqClient(without.Inside).Admin.CreateTopicAsync(topic, 1);
            await ProduceAsync(new OrleansMqClient(without.Inside), topic, streams, events);
        }
        var received = 0;
        StreamScript.On(topic, (_, _) => Task.FromResult(Interlocked.Increment(ref received)));
        _silo = await StartAsync(options => options with { MaxBatch = batch });
        await Wait.UntilAsync(() => received > 0, "the first event");
        var began = TimeProvider.System.GetTimestamp();
        await Wait.UntilAsync(() => Task.FromResult(received >= events), "all events", deadline: TimeSpan.FromMinutes(2));
        output.WriteLine($"{streams} streams, batches of {batch}: "
            + $"{events / TimeProvider.System.GetElapsedTime(began).TotalSeconds:n0} events/s");
        await Wait.UntilAsync(() => StreamScript.Received(topic, $"{(events - 1) % streams}").Length == events / streams, "the last event");
        for (var key = 0; key < streams; key++)
            Assert.Equal(Enumerable.Range(0, events / streams).Select(n => (n * streams) + key), StreamScript.Received(topic, $"{key}"));
    }

    [Fact]
    public async Task Implicit_subscriber_that_is_deployed_late_receives_what_was_sent_before()
    {
        await _silo.DisposeAsync();
        await using (var without = await TestSilo.StartAsync(_data.Path))
        {
            var client = new OrleansMqClient(without.Inside);
            await client.Admin.CreateTopicAsync("implicit-late", 3);
            await using var producer = client.CreateProducer<string, string>();
            for (var number = 0; number < 100; number++)
                await producer.SendAsync(new("implicit-late", $"{number % 7}", $$"""{"number":{{number}}}"""));
        }
        _silo = await StartAsync();
        for (var key = 0; key < 7; key++)
            await ReceivedAsync("implicit-late", $"{key}", [.. Enumerable.Range(0, 100).Where(number => number % 7 == key)]);
    }

    [Fact]
    public async Task Observer_of_batches_receives_waiting_events_of_its_stream_together_and_in_order()
    {
        await _silo.DisposeAsync();
        await using (var without = await TestSilo.StartAsync(_data.Path))
        {
            await new OrleansMqClient(without.Inside).Admin.CreateTopicAsync("batch-waiting", 1);
            await ProduceAsync(new OrleansMqClient(without.Inside), "batch-waiting", streams: 2, events: 400);
        }
        _silo = await StartAsync();
        for (var key = 0; key < 2; key++)
            await ReceivedAsync("batch-waiting", $"{key}", [.. Enumerable.Range(0, 400).Where(number => number % 2 == key)]);
        var sizes = BatchGrain.Sizes["batch-waiting"];
        Assert.True(sizes.Count < 100, $"{sizes.Count} calls: {string.Join(' ', sizes)}");
        Assert.InRange(sizes.Max(), 2, 100);
    }

    [Fact]
    public async Task Batch_whose_observer_fails_settles_what_came_before_and_dead_letters_the_cause_alone()
    {
        StreamScript.On("batch-fails", static (happened, _) => happened.Number == 37 ? throw new InvalidOperationException("37")
            : Task.CompletedTask);
        await Stream("batch-fails", "k").OnNextBatchAsync([.. Enumerable.Range(0, 60).Select(Event)]);
        Assert.Equal("""{"number":37}""", (await LettersAsync("batch-fails", 1))[0].Value);
        await Wait.UntilAsync(() => StreamScript.Received("batch-fails", "k").Distinct().Count() == 59, "all others are received");
        // A batch that failed comes again from its first event, one by one.
        var next = 0;
        foreach (var number in StreamScript.Received("batch-fails", "k"))
        {
            Assert.True(number <= next, $"{number} came before {next}");
            next = Math.Max(next, number == 36 ? 38 : number + 1);
        }
    }

    [Theory]
    [InlineData("implicit-fails-in-run")]
    [InlineData("explicit-fails-in-run")]
    public async Task Failure_in_the_middle_of_a_run_settles_those_before_and_delivers_from_it_on(string topic)
    {
        var thrown = 0;
        StreamScript.On(topic, (happened, _) => happened.Number == 50 && Interlocked.Increment(ref thrown) <= 2
            ? throw new InvalidOperationException("not now") : Task.CompletedTask);
        if (topic.StartsWith("explicit", StringComparison.Ordinal))
        {
            await Reader($"{topic}/k/1").SubscribeAsync();
            await Reader($"{topic}/k/2").SubscribeAsync();
        }
        await Stream(topic, "k").OnNextBatchAsync([.. Enumerable.Range(0, 100).Select(Event)]);
        if (topic.StartsWith("explicit", StringComparison.Ordinal))
        {
            await ReceivedAsync(topic, "k", [.. Enumerable.Range(0, 100)], Reader($"{topic}/k/1"));
            await ReceivedAsync(topic, "k", [.. Enumerable.Range(0, 100)], Reader($"{topic}/k/2"));
        }
        else
            await ReceivedAsync(topic, "k", [.. Enumerable.Range(0, 100)]);
        Assert.Empty(await LettersAsync(topic));
    }

    [Fact]
    public async Task Grain_that_unsubscribes_in_the_middle_of_a_run_receives_no_more_of_it()
    {
        var reader = Reader("explicit-leave-in-run/k/1");
        await reader.SubscribeAsync();
        await Reader("explicit-leave-in-run/k/2").SubscribeAsync();
        StreamScript.On("explicit-leave-in-run", static async (happened, grain) =>
        {
            if (happened.Number != 10 || !grain.GetPrimaryKeyString().EndsWith('1'))
                return;
            foreach (var handle in await grain.GetStreamProvider("test").GetStream<Happened>("explicit-leave-in-run", "k")
                .GetAllSubscriptionHandles())
                await handle.UnsubscribeAsync();
        });
        await Stream("explicit-leave-in-run", "k").OnNextBatchAsync([.. Enumerable.Range(0, 40).Select(Event)]);
        await ReceivedAsync("explicit-leave-in-run", "k", [.. Enumerable.Range(0, 40)], Reader("explicit-leave-in-run/k/2"));
        await ReceivedAsync("explicit-leave-in-run", "k", [.. Enumerable.Range(0, 11)], reader);
        Assert.Empty(await LettersAsync("explicit-leave-in-run"));
    }

    [Fact]
    public async Task Every_explicit_subscription_receives_every_event_sent_after_it()
    {
        await Stream("explicit-several", "k").OnNextAsync(new Happened(0));
        var first = Reader("explicit-several/k/1");
        var second = Reader("explicit-several/k/2");
        await first.SubscribeAsync();
        await Stream("explicit-several", "k").OnNextAsync(new Happened(1));
        await second.SubscribeAsync(inBatches: true);
        await Stream("explicit-several", "other").OnNextAsync(new Happened(100));
        for (var number = 2; number < 40; number++)
            await Stream("explicit-several", "k").OnNextAsync(new Happened(number));
        await ReceivedAsync("explicit-several", "k", [.. Enumerable.Range(1, 39)], first);
        await ReceivedAsync("explicit-several", "k", [.. Enumerable.Range(2, 38)], second);
    }

    [Fact]
    public async Task Subscription_is_in_force_when_the_leader_proves_that_no_earlier_one_answers()
    {
        var broker = new UnprovenBroker(_silo.Inside);
        var client = new OrleansMqClient(broker);
        await using var producer = client.CreateProducer<byte[]?, byte[]?>();
        var log = new SubscriptionLog(client, producer, "unproven", NullLogger.Instance);
        var id = Guid.NewGuid();
        var writing = log.WriteAsync(new SubscriptionKey("orders", "k"u8.ToArray(), id), new SubscriptionValue("reader/1", 0, id, 0),
            CancellationToken.None);
        await Wait.UntilAsync(() => broker.Refused > 1, "the end is asked for again");
        // It is written, and an earlier leader may not show it.
        Assert.Equal(1, await client.Admin.FindOffsetAsync(new TopicPartition("__streams.unproven", 0), ReadFrom.Latest));
        Assert.False(writing.IsCompleted);
        broker.IsProven = true;
        await writing;
        await log.CatchUpAsync(CancellationToken.None);
        Assert.Equal(id, Assert.Single(log.Table.Find(StreamId.Create("orders", "k"))).Id);
    }

    [Fact]
    public async Task Topic_of_subscriptions_is_made_by_the_first_one_and_seen_by_readers_that_found_none()
    {
        await Stream("implicit-first", "k").OnNextAsync(new Happened(1));
        await ReceivedAsync("implicit-first", "k", [1]);
        await using var producer = _client.CreateProducer<byte[]?, byte[]?>();
        var forgetful = new ForgetfulBroker(_silo.Inside, "__streams.first");
        var reader = new SubscriptionLog(new OrleansMqClient(forgetful), producer, "first", NullLogger.Instance);
        await reader.CatchUpAsync(CancellationToken.None);
        Assert.False(reader.IsRead);
        Assert.DoesNotContain(await _silo.Inside.ListTopicsAsync(), static topic => topic.Name.StartsWith("__streams.",
            StringComparison.Ordinal));
        var id = Guid.NewGuid();
        var writer = new SubscriptionLog(_client, producer, "first", NullLogger.Instance);
        await writer.WriteAsync(new SubscriptionKey("orders", "k"u8.ToArray(), id), new SubscriptionValue("reader/1", 0, id, 0),
            CancellationToken.None);
        // Its broker does not remember the topic yet.
        await reader.CatchUpAsync(CancellationToken.None);
        Assert.Equal(id, Assert.Single(reader.Table.Find(StreamId.Create("orders", "k"))).Id);
        Assert.True(forgetful.HasForgotten);
        // One that was there and is gone is no empty table.
        await _client.Admin.DeleteTopicAsync("__streams.first");
        await Assert.ThrowsAsync<BrokerException>(() => reader.CatchUpAsync(CancellationToken.None));
    }

    [Fact]
    public async Task Provider_stops_in_a_time_of_its_own_where_a_broker_does_not_answer()
    {
        var broker = new SilentBroker(_silo.Inside);
        var lifecycle = new RecordedLifecycle();
        new StreamDispatcher("test", new ServicesWith(_silo.Services, new OrleansMqClient(broker)), NullLogger<StreamDispatcher>.Instance)
            .Participate(lifecycle);
        await lifecycle.Observer!.OnStart(CancellationToken.None);
        await broker.Asked.Task.WaitAsync(Wait.Deadline);
        // The host sets no deadline.
        await lifecycle.Observer.OnStop(CancellationToken.None).WaitAsync(Wait.Deadline);
        Assert.False(broker.Never.Task.IsCompleted);
    }

    [Fact]
    public async Task Partition_that_is_new_to_a_topic_with_subscriptions_is_served_from_its_first_event()
    {
        // No dispatcher has these cursors.
        var topics = new StreamTopics(_client, "alone", new OrleansMqStreamOptions());
        await using var producer = _client.CreateProducer<byte[]?, byte[]?>();
        var log = new SubscriptionLog(_client, producer, "alone", NullLogger.Instance);
        var topic = "explicit-start";
        await _client.Admin.CreateTopicAsync(topic, 1);
        await SendAsync(2);
        var first = Assert.Single(await topics.CreateExplicitQueuesAsync(topic, log, CancellationToken.None));
        Assert.Equal(2, first.Floor);
        await log.WriteAsync(new SubscriptionKey(topic, "k"u8.ToArray(), Guid.NewGuid()), new SubscriptionValue("reader/1", 0, first.Id, 2),
            CancellationToken.None);
        await _client.Admin.DeleteTopicAsync(topic);
        await _client.Admin.CreateTopicAsync(topic, 1);
        await SendAsync(3);
        Assert.Equal(0, Assert.Single(await topics.CreateExplicitQueuesAsync(topic, log, CancellationToken.None)).Floor);

        async Task SendAsync(int count)
        {
            await using var sender = _client.CreateProducer<string, string>();
            for (var number = 0; number < count; number++)
                await sender.SendAsync(new(topic, "k", $$"""{"number":{{number}}}"""));
        }
    }

    [Fact]
    public async Task Subscription_of_a_racing_first_subscriber_is_owed_what_came_after_the_ends_were_looked_up()
    {
        var topic = "explicit-race";
        await _client.Admin.CreateTopicAsync(topic, 1);
        await using var producer = _client.CreateProducer<byte[]?, byte[]?>();
        var broker = new HeldBroker(_silo.Inside, topic);
        var slow = new OrleansMqClient(broker);
        var log = new SubscriptionLog(slow, producer, "racing", NullLogger.Instance);
        var creating = new StreamTopics(slow, "racing", new OrleansMqStreamOptions()).CreateExplicitQueuesAsync(topic, log,
            CancellationToken.None);
        await broker.Held.Task.WaitAsync(Wait.Deadline);
        // Another one subscribes, and an event is acknowledged.
        await producer.SendAsync(new(topic, "k"u8.ToArray(), "{}"u8.ToArray()));
        broker.Go.SetResult();
        Assert.Equal(0, Assert.Single(await creating).Floor);
    }

    [Fact]
    public async Task Grain_of_an_implicit_class_receives_other_streams_that_it_subscribes_to()
    {
        var first = _silo.Client.GetGrain<IWideGrain>("a");
        await first.SubscribeAsync("a");
        await first.SubscribeAsync("b");
        Assert.Equal(1, await first.CountAsync("a"));
        Assert.Equal(1, await first.CountAsync("b"));
        await Stream(WideGrain.Topic, "b").OnNextAsync(new Happened(1));
        await Stream(WideGrain.Topic, "a").OnNextAsync(new Happened(2));
        await ReceivedAsync("b", first, [1]);
        await ReceivedAsync("b", _silo.Client.GetGrain<IWideGrain>("b"), [1]);
        await ReceivedAsync("a", first, [2]);
        await _silo.DeactivateAsync(first);
        await Stream(WideGrain.Topic, "b").OnNextAsync(new Happened(3));
        await ReceivedAsync("b", first, [1, 3]);
        Assert.Empty(await LettersAsync(WideGrain.Topic));

        async Task ReceivedAsync(string key, IWideGrain grain, int[] expected)
        {
            int[] Now() => StreamScript.Received(WideGrain.Topic, key, grain.GetGrainId().ToString());
            await Wait.UntilAsync(() => Now().Length >= expected.Length, $"{expected.Length} events of {key} for {grain.GetGrainId()}");
            Assert.Equal(expected, Now());
        }
    }

    [Fact]
    public async Task Subscription_that_another_version_of_an_implicit_class_has_left_neither_blocks_nor_doubles()
    {
        await _client.Admin.CreateTopicAsync("implicit-left", 1);
        var grain = _silo.Client.GetGrain<IImplicitGrain>("k").GetGrainId().ToString();
        await ((OrleansMqStreamProvider)Provider).Subscriptions.WriteAsync(new SubscriptionKey("implicit-left", "k"u8.ToArray(),
            Guid.NewGuid()), new SubscriptionValue(grain, 0, Guid.Empty, 0), CancellationToken.None);
        await Stream("implicit-left", "k").OnNextBatchAsync([new Happened(1), new Happened(2)]);
        await ReceivedAsync("implicit-left", "k", [1, 2]);
        await SettledAsync("implicit-left", "streams:test");
        Assert.Equal([1, 2], StreamScript.Received("implicit-left", "k"));
        Assert.Empty(await LettersAsync("implicit-left"));
    }

    [Fact]
    public async Task Grain_class_that_is_gone_holds_its_streams_for_a_stated_time_and_then_dead_letters()
    {
        await _client.Admin.CreateTopicAsync("explicit-gone", 1);
        await Reader("explicit-gone/k/1").SubscribeAsync();
        await ((OrleansMqStreamProvider)Provider).Subscriptions.WriteAsync(new SubscriptionKey("explicit-gone", "k"u8.ToArray(),
            Guid.NewGuid()), new SubscriptionValue("nobody/1", 0, Guid.Empty, 0), CancellationToken.None);
        await Stream("explicit-gone", "k").OnNextAsync(new Happened(1));
        await Stream("explicit-gone", "other").OnNextAsync(new Happened(2));
        var letters = await LettersAsync("explicit-gone", 1);
        Assert.Contains("No silo has had the grain class nobody", letters[0].Reason, StringComparison.Ordinal);
        Assert.Equal([1], Received("explicit-gone", "k", Reader("explicit-gone/k/1")));
    }

    [Fact]
    public async Task Grain_that_is_busy_for_longer_than_calls_wait_fails_no_event()
    {
        // The work of all takes longer than twice the time that a call waits.
        const int Streams = 40;
        await _silo.DisposeAsync();
        _silo = await StartAsync(configureSilo: static silo => silo.Configure<Orleans.Configuration.SiloMessagingOptions>(
            static options => options.ResponseTimeout = TimeSpan.FromSeconds(6)));
        _client = new OrleansMqClient(_silo.Inside);
        StreamScript.On("explicit-busy", static (_, _) => Task.Delay(400));
        await _silo.Client.GetGrain<IHubGrain>("explicit-busy").SubscribeAsync(Streams);
        await Task.WhenAll(Enumerable.Range(0, Streams).Select(key => Stream("explicit-busy", $"{key}").OnNextAsync(new Happened(key))));
        // A delivery whose answer was late is repeated.
        for (var key = 0; key < Streams; key++)
            await Wait.UntilAsync(() => StreamScript.Received("explicit-busy", $"{key}").Distinct().SequenceEqual([key]),
                $"the event of stream {key}");
        Assert.Empty(await LettersAsync("explicit-busy"));
    }

    [Fact]
    public async Task Dead_letter_topic_that_is_deleted_is_created_again_and_takes_the_next_letters()
    {
        StreamScript.On("implicit-letters", static (_, _) => throw new InvalidOperationException("never"));
        await Stream("implicit-letters", "k").OnNextAsync(new Happened(1));
        await LettersAsync("implicit-letters", 1);
        await _client.Admin.DeleteTopicAsync("implicit-letters.dead-letter");
        await Wait.UntilAsync(async () => (await _silo.Inside.ListTopicsAsync()).Any(found => found.Name == "implicit-letters.dead-letter"),
            "the dead-letter topic is created again");
        await Wait.UntilAsync(async () =>
        {
            await Stream("implicit-letters", "k").OnNextAsync(new Happened(2));
            return (await LettersAsync("implicit-letters")).Count > 0;
        }, "an event is dead-lettered");
    }

    [Fact]
    public async Task Options_of_a_later_deployment_hold_for_cursors_that_exist()
    {
        await Stream("implicit-options", "k").OnNextAsync(new Happened(1));
        await ReceivedAsync("implicit-options", "k", [1]);
        await _silo.DisposeAsync();
        _silo = await StartAsync(static options => options with { MaxAttempts = 7 });
        _client = new OrleansMqClient(_silo.Inside);
        await Wait.UntilAsync(async () => (await _silo.Inside.Queues.ListAsync(new TopicPartition("implicit-options", 0)))
            .All(static queue => queue.Options.MaxFailures == 70), "the cursor has the options");
    }

    [Fact]
    public async Task Topic_that_a_stream_creates_keeps_what_is_not_settled_and_takes_no_more_partitions()
    {
        await Stream("implicit-created", "k").OnNextAsync(new Happened(1));
        await ReceivedAsync("implicit-created", "k", [1]);
        Assert.Contains((await _silo.Inside.DescribeTopicAsync("implicit-created")).Configs,
            static config => config is { Name: "retention.until.settled", Value: "true" });
        var refused = await Assert.ThrowsAsync<BrokerException>(() => _client.Admin.AddPartitionsAsync("implicit-created", 9));
        Assert.Equal(ErrorCode.InvalidPartitions, refused.Code);
    }

    [Fact]
    public async Task Subscription_whose_write_has_an_unknown_outcome_is_removed_and_blocks_nothing()
    {
        await _client.Admin.CreateTopicAsync("explicit-unknown", 1);
        var reader = Reader("explicit-unknown/k/1");
        await reader.SubscribeAsync();
        // Written for the grain, whose activation gave it up.
        var lost = Guid.NewGuid();
        var log = ((OrleansMqStreamProvider)Provider).Subscriptions;
        var key = new SubscriptionKey("explicit-unknown", "k"u8.ToArray(), lost);
        await log.WriteAsync(key, new SubscriptionValue(reader.GetGrainId().ToString(), 0, Guid.Empty, 0), CancellationToken.None);
        await reader.ForgetAsync(lost);
        await Stream("explicit-unknown", "k").OnNextAsync(new Happened(1));
        await ReceivedAsync("explicit-unknown", "k", [1], reader);
        await Wait.UntilAsync(async () =>
        {
            await log.CatchUpAsync(CancellationToken.None);
            return log.Table.Find(StreamId.Create("explicit-unknown", "k")).Length == 1;
        }, "the subscription is removed");
        Assert.Empty(await LettersAsync("explicit-unknown"));
    }

    [Fact]
    public async Task Grain_with_two_subscriptions_receives_each_event_twice()
    {
        var reader = Reader("explicit-twice/k/1");
        var first = await reader.SubscribeAsync();
        Assert.NotEqual(first, await reader.SubscribeAsync());
        Assert.Equal(2, await reader.CountAsync());
        await Stream("explicit-twice", "k").OnNextAsync(new Happened(1));
        await ReceivedAsync("explicit-twice", "k", [1, 1], reader);
    }

    [Fact]
    public async Task Subscription_that_is_removed_receives_nothing_more()
    {
        var (leaver, stayer) = (Reader("explicit-leave/k/1"), Reader("explicit-leave/k/2"));
        var handle = await leaver.SubscribeAsync();
        await stayer.SubscribeAsync();
        await Stream("explicit-leave", "k").OnNextAsync(new Happened(1));
        await ReceivedAsync("explicit-leave", "k", [1], leaver);
        await leaver.UnsubscribeAsync(handle);
        Assert.Equal(0, await leaver.CountAsync());
        await Stream("explicit-leave", "k").OnNextAsync(new Happened(2));
        await ReceivedAsync("explicit-leave", "k", [1, 2], stayer);
        Assert.Equal([1], Received("explicit-leave", "k", leaver));
        Assert.Empty(await LettersAsync("explicit-leave"));
    }

    [Fact]
    public async Task Subscription_survives_its_grain_and_the_silo()
    {
        var reader = Reader("explicit-durable/k/1");
        await reader.SubscribeAsync();
        await Stream("explicit-durable", "k").OnNextAsync(new Happened(1));
        await ReceivedAsync("explicit-durable", "k", [1], reader);
        await _silo.DeactivateAsync(reader);
        await Stream("explicit-durable", "k").OnNextAsync(new Happened(2));
        await ReceivedAsync("explicit-durable", "k", [1, 2], reader);
        await _silo.DisposeAsync();
        _silo = await StartAsync();
        await Stream("explicit-durable", "k").OnNextAsync(new Happened(3));
        await ReceivedAsync("explicit-durable", "k", [1, 2, 3], Reader("explicit-durable/k/1"));
    }

    [Theory]
    [InlineData("implicit-deactivated")]
    [InlineData("explicit-deactivated")]
    public async Task Grain_that_deactivates_in_the_middle_misses_nothing(string topic)
    {
        StreamScript.On(topic, (happened, grain) =>
        {
            if (happened.Number % 5 == 3)
                ((IGrainBase)grain).DeactivateOnIdle();
            return Task.CompletedTask;
        });
        if (topic.StartsWith("explicit", StringComparison.Ordinal))
            await Reader($"{topic}/k/1").SubscribeAsync();
        for (var number = 0; number < 60; number++)
            await Stream(topic, "k").OnNextAsync(new Happened(number));
        await Wait.UntilAsync(() => StreamScript.Received(topic, "k").Distinct().Count() == 60, "every event is received");
        StreamAssert.IsInOrder(StreamScript.Received(topic, "k"));
        Assert.Empty(await LettersAsync(topic));
    }

    [Theory]
    [InlineData("implicit-fails-twice")]
    [InlineData("explicit-fails-twice")]
    public async Task Event_whose_observer_throws_comes_again_before_later_ones(string topic)
    {
        var thrown = 0;
        StreamScript.On(topic, (happened, _) => happened.Number == 2 && Interlocked.Increment(ref thrown) <= 2
            ? throw new InvalidOperationException("not now") : Task.CompletedTask);
        if (topic.StartsWith("explicit", StringComparison.Ordinal))
            await Reader($"{topic}/k/1").SubscribeAsync();
        await Stream(topic, "k").OnNextBatchAsync([.. Enumerable.Range(0, 5).Select(Event)]);
        await ReceivedAsync(topic, "k", [0, 1, 2, 3, 4]);
        Assert.Equal(3, thrown);
        Assert.Empty(await LettersAsync(topic));
    }

    [Theory]
    [InlineData("implicit-fails")]
    [InlineData("explicit-fails")]
    public async Task Event_whose_observer_always_throws_is_dead_lettered_with_its_cause(string topic)
    {
        var thrown = 0;
        StreamScript.On(topic, (happened, _) =>
        {
            if (happened.Number != 2)
                return Task.CompletedTask;
            Interlocked.Increment(ref thrown);
            throw new InvalidOperationException("out of apples");
        });
        if (topic.StartsWith("explicit", StringComparison.Ordinal))
            await Reader($"{topic}/k/1").SubscribeAsync();
        await Stream(topic, "k").OnNextBatchAsync([.. Enumerable.Range(0, 5).Select(Event)]);
        await ReceivedAsync(topic, "k", [0, 1, 3, 4]);
        var (value, reason) = (await LettersAsync(topic, 1))[0];
        Assert.Equal("""{"number":2}""", value);
        Assert.Contains("System.InvalidOperationException: out of apples", reason, StringComparison.Ordinal);
        Assert.Equal(Attempts, thrown);
        var told = Assert.Single(StreamScript.GivenUp, given => given.Topic == topic).Message;
        Assert.Contains($"{Attempts} attempt(s)", told, StringComparison.Ordinal);
        Assert.Contains("out of apples", told, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Subscriber_that_fails_lets_the_others_receive_once()
    {
        StreamScript.On("explicit-one-fails", (_, grain) => grain.GetPrimaryKeyString().EndsWith('1')
            ? throw new InvalidOperationException("never") : Task.CompletedTask);
        await Reader("explicit-one-fails/k/1").SubscribeAsync();
        await Reader("explicit-one-fails/k/2").SubscribeAsync();
        await Stream("explicit-one-fails", "k").OnNextBatchAsync([new Happened(1), new Happened(2)]);
        var letters = await LettersAsync("explicit-one-fails", 2);
        Assert.Equal([1, 2], Received("explicit-one-fails", "k", Reader("explicit-one-fails/k/2")));
        Assert.All(letters, letter => Assert.Contains("k/1", letter.Reason, StringComparison.Ordinal));
    }

    [Fact]
    public async Task Stateless_worker_subscribes_where_each_of_its_activations_attaches_an_observer_and_goes_back_to_no_token()
    {
        var deaf = _silo.Client.GetGrain<IDeafWorkerGrain>("k");
        Assert.Contains("IStreamSubscriptionObserver", (await Assert.ThrowsAsync<InvalidOperationException>(() =>
            deaf.SubscribeAsync("explicit-worker"))).Message, StringComparison.Ordinal);
        var worker = _silo.Client.GetGrain<IObservingWorkerGrain>("k");
        Assert.Contains("without a token", (await Assert.ThrowsAsync<InvalidOperationException>(() =>
            worker.SubscribeAsync("explicit-worker", StreamOffset.Earliest))).Message, StringComparison.Ordinal);
        await worker.SubscribeAsync("explicit-worker");
        // The activation that subscribed is busy with the first event: another one has the others' call.
        for (var number = 0; number < 20; number++)
        {
            await Stream("explicit-worker", "k").OnNextAsync(new Happened(number));
            _ = worker.SubscribeAsync("explicit-worker-other");
        }
        await ReceivedAsync("explicit-worker", "k", [.. Enumerable.Range(0, 20)]);
        Assert.Empty(await LettersAsync("explicit-worker"));
    }

    [Fact]
    public async Task Refusals_of_a_stream_say_what_to_do()
    {
        var stream = _silo.Client.GetStreamProvider("test").GetStream<Happened>("refusals", "k");
        Func<Happened, StreamSequenceToken, Task> observe = static (_, _) => Task.CompletedTask;
        foreach (var (call, says) in new (Func<Task> Call, string Says)[]
        {
            (() => stream.OnCompletedAsync(), "Send an event that says so"),
            (() => stream.OnErrorAsync(new InvalidOperationException("x")), "Send an event that describes the error"),
            (() => stream.OnNextAsync(new Happened(1), new StreamOffset(0, 0)), "call without a token"),
            (() => stream.OnNextBatchAsync([new Happened(1)], new StreamOffset(0, 0)), "call without a token"),
            (() => stream.SubscribeAsync(new GenericAsyncObserver<Happened>(observe), null, "filter"), "without filterData"),
        })
        {
            Assert.Contains(says, (await Assert.ThrowsAsync<NotSupportedException>(call)).Message, StringComparison.Ordinal);
        }
        Assert.DoesNotContain(await _silo.Inside.ListTopicsAsync(), static topic => topic.Name == "refusals");
    }

    [Fact]
    public async Task Slow_stream_holds_no_other_back()
    {
        var gate = new TaskCompletionSource();
        StreamScript.On("implicit-slow", (happened, _) => happened.Number == 0 ? gate.Task : Task.CompletedTask);
        await Stream("implicit-slow", "slow").OnNextBatchAsync([new Happened(0), new Happened(1)]);
        for (var key = 0; key < 20; key++)
            await Stream("implicit-slow", $"{key}").OnNextAsync(new Happened(5));
        for (var key = 0; key < 20; key++)
            await ReceivedAsync("implicit-slow", $"{key}", [5]);
        Assert.Empty(StreamScript.Received("implicit-slow", "slow"));
        gate.SetResult();
        await ReceivedAsync("implicit-slow", "slow", [0, 1]);
    }

    [Fact]
    public async Task Stream_that_stalls_with_more_events_than_a_silo_holds_at_once_holds_no_other_and_misses_none()
    {
        const string Topic = "implicit-full";
        const int Held = 10;
        const int Sent = 60;
        await _silo.DisposeAsync();
        _silo = await StartAsync(static options => options with { Credit = Held });
        var gate = new TaskCompletionSource();
        StreamScript.On(Topic, (happened, _) => happened.Number == 0 ? gate.Task : Task.CompletedTask);
        await Stream(Topic, "stalled").OnNextBatchAsync([.. Enumerable.Range(0, Sent).Select(Event)]);
        for (var key = 0; key < 3; key++)
            await Stream(Topic, $"{key}").OnNextBatchAsync([.. Enumerable.Range(1, Sent).Select(Event)]);
        for (var key = 0; key < 3; key++)
            await ReceivedAsync(Topic, $"{key}", [.. Enumerable.Range(1, Sent)]);
        Assert.Empty(StreamScript.Received(Topic, "stalled"));
        gate.SetResult();
        await ReceivedAsync(Topic, "stalled", [.. Enumerable.Range(0, Sent)]);
    }

    [Fact]
    public async Task Event_without_an_observer_is_dead_lettered_and_not_dropped()
    {
        await Stream(BlindGrain.Topic, "k").OnNextAsync(new Happened(1));
        Assert.Contains("attached no observer", (await LettersAsync(BlindGrain.Topic, 1))[0].Reason, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Grain_whose_activation_fails_while_subscriptions_cannot_be_read_fails_no_event()
    {
        var reader = Reader("explicit-resumed/k/1");
        await reader.SubscribeAsync();
        await Stream("explicit-resumed", "k").OnNextAsync(new Happened(0));
        await ReceivedAsync("explicit-resumed", "k", [0], reader);
        await _client.Admin.DeleteTopicAsync("__streams.test");
        await Stream(ResumingGrain.Topic, "k").OnNextAsync(new Happened(1));
        await Wait.UntilAsync(() => ResumingGrain.Activations > 2 * Attempts, "its activation fails more often than an event may");
        Assert.Empty(await LettersAsync(ResumingGrain.Topic));
        Assert.Empty(StreamScript.Received(ResumingGrain.Topic, "k"));
        await _silo.DisposeAsync();
        _silo = await StartAsync();
        await ReceivedAsync(ResumingGrain.Topic, "k", [1]);
    }

    [Fact]
    public async Task Event_that_cannot_be_read_is_dead_lettered_at_once()
    {
        await _client.Admin.CreateTopicAsync("implicit-unreadable", 1);
        await using var producer = _client.CreateProducer<string, string>();
        await producer.SendAsync(new("implicit-unreadable", "k", "no JSON"));
        await producer.SendAsync(new("implicit-unreadable", "k", """{"number":1}"""));
        await ReceivedAsync("implicit-unreadable", "k", [1]);
        Assert.Contains("JsonException", (await LettersAsync("implicit-unreadable", 1))[0].Reason, StringComparison.Ordinal);
        Assert.Contains("JsonException", Assert.Single(StreamScript.GivenUp, static given => given.Topic == "implicit-unreadable").Message,
            StringComparison.Ordinal);
    }

    [Fact]
    public async Task Key_that_is_none_of_the_grain_class_is_dead_lettered_at_once()
    {
        await _client.Admin.EnsureTopicAsync(ExactGrain.Topic);
        await Stream(ExactGrain.Topic, "customer-7").OnNextAsync(new Happened(1));
        Assert.Contains("'customer-7' is no key", (await LettersAsync(ExactGrain.Topic, 1))[0].Reason, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Topic_that_is_deleted_and_created_again_delivers_its_new_events()
    {
        var reader = Reader("explicit-again/k/1");
        await reader.SubscribeAsync();
        await Stream("explicit-again", "k").OnNextBatchAsync([new Happened(1), new Happened(2), new Happened(3)]);
        await ReceivedAsync("explicit-again", "k", [1, 2, 3], reader);
        await _client.Admin.DeleteTopicAsync("explicit-again");
        await _client.Admin.CreateTopicAsync("explicit-again");
        await Stream("explicit-again", "k").OnNextAsync(new Happened(4));
        await ReceivedAsync("explicit-again", "k", [1, 2, 3, 4], reader);
    }

    [Fact]
    public async Task Orleans_client_sends_and_a_service_on_a_silo_does_not_subscribe_as_a_grain()
    {
        var stream = _silo.Client.GetStreamProvider("test").GetStream<Happened>("implicit-client", "k");
        await stream.OnNextAsync(new Happened(1));
        await ReceivedAsync("implicit-client", "k", [1]);
        var refused = await Assert.ThrowsAsync<NotSupportedException>(() => Stream("implicit-client", "k").SubscribeAsync(
            (_, _) => Task.CompletedTask));
        Assert.Contains("services.GetProcessStreamProvider(\"test\")", refused.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void What_is_not_supported_is_refused_with_what_to_do()
    {
        Assert.Contains("has no namespace", Assert.Throws<ArgumentException>(() => Provider.GetStream<Happened>("k")).Message,
            StringComparison.Ordinal);
        var services = new ServiceCollection();
        var builder = new Builder(services);
        builder.AddOrleansMqStreams("orders");
        Assert.Contains("already", Assert.Throws<InvalidOperationException>(() => builder.AddOrleansMqStreams("orders")).Message,
            StringComparison.Ordinal);
        Assert.Contains("MaxAttempts", Assert.Throws<ArgumentException>(() =>
            builder.AddOrleansMqStreams("others", options => options with { MaxAttempts = 0 })).Message, StringComparison.Ordinal);
        Assert.Throws<ArgumentException>(() => builder.AddOrleansMqStreams("with space"));
        Assert.Contains("share topics", Assert.Throws<InvalidOperationException>(() => builder.AddOrleansMqStreams("others", options =>
            options with { TopicPrefix = "others." })).Message, StringComparison.Ordinal);
        var apart = new Builder(new ServiceCollection());
        apart.AddOrleansMqStreams("orders", options => options with { TopicPrefix = "orders." });
        apart.AddOrleansMqStreams("others", options => options with { TopicPrefix = "others." });
    }

    private const int Attempts = 3;

    private sealed class GenericAsyncObserver<T>(Func<T, StreamSequenceToken, Task> observe) : IAsyncObserver<T>
    {
        public Task OnNextAsync(T item, StreamSequenceToken? token = null) => observe(item, token!);

        public Task OnErrorAsync(Exception ex) => Task.CompletedTask;
    }

    private static async Task ProduceAsync(OrleansMqClient client, string topic, int streams, int events)
    {
        await using var producer = client.CreateProducer<string, string>();
        for (var number = 0; number < events; number++)
            await producer.EnqueueAsync(new(topic, $"{number % streams}", $$"""{"number":{{number}}}"""));
        await producer.FlushAsync();
    }

    private IStreamProvider Provider => _silo.Services.GetRequiredKeyedService<IStreamProvider>("test");

    private Task<TestSilo> StartAsync(Func<OrleansMqStreamOptions, OrleansMqStreamOptions>? configure = null,
        Func<ISiloBuilder, ISiloBuilder>? configureSilo = null) =>
        TestSilo.StartAsync(_data.Path, silo => (configureSilo ?? (static same => same))(silo
        .AddKafka(static options => options with { Listen = new IPEndPoint(IPAddress.Loopback, 0) })
        .AddOrleansMqStreams("test", options => (configure ?? (static same => same))(options with
        {
            MaxAttempts = Attempts,
            RetryDelay = Short,
            MissingClassTimeout = TimeSpan.FromSeconds(1),
            RefreshInterval = TimeSpan.FromMilliseconds(100),
        }))), static client => client.AddOrleansMqStreams("test"));

    private static Happened Event(int number) => new(number);

    private IAsyncStream<Happened> Stream(string topic, string key) => Provider.GetStream<Happened>(topic, key);

    private IReaderGrain Reader(string key) => _silo.Client.GetGrain<IReaderGrain>(key);

    private static int[] Received(string topic, string key, IReaderGrain reader) =>
        StreamScript.Received(topic, key, reader.GetGrainId().ToString());

    private static async Task ReceivedAsync(string topic, string key, int[] expected, IReaderGrain? reader = null)
    {
        int[] Now() => reader is null ? StreamScript.Received(topic, key) : Received(topic, key, reader);
        await Wait.UntilAsync(() => Task.FromResult(Now().Length >= expected.Length), $"{expected.Length} events of {topic}/{key}",
            () => Task.FromResult($"received: {string.Join(' ', Now())}"));
        Assert.Equal(expected, Now());
    }

    private Task SettledAsync(string topic, string queue) => Wait.UntilAsync(async () =>
        (await _silo.Inside.Queues.ListAsync(new TopicPartition(topic, 0))).Any(found => found.Name == queue && found.Unsettled == 0),
        $"{queue} of {topic} has nothing unsettled");

    private async Task<TopicPartition> PartitionOfAsync(string topic, string key)
    {
        var partitions = (await _silo.Inside.GetTopicAsync(topic)).Partitions;
        return new(topic, Partitioning.Murmur2Partitioner.ForKey(Encoding.UTF8.GetBytes(key), partitions));
    }

    private async Task<List<(string Value, string Reason)>> LettersAsync(string topic, int count)
    {
        await Wait.UntilAsync(async () => (await LettersAsync(topic)).Count >= count, $"{count} dead letters of {topic}");
        var letters = await LettersAsync(topic);
        Assert.Equal(count, letters.Count);
        return letters;
    }

    private async Task<List<(string Value, string Reason)>> LettersAsync(string topic)
    {
        var letters = new List<(string, string)>();
        var found = (await _silo.Inside.ListTopicsAsync()).FirstOrDefault(other => other.Name == $"{topic}.dead-letter");
        for (var partition = 0; partition < (found?.Partitions ?? 0); partition++)
        {
            using var fetched = await _silo.Inside.FetchAsync(new FetchRequest(new TopicPartition(found!.Name, partition), 0));
            using var records = new RecordReader(fetched.Records, CompressionCodecs.Empty);
            while (records.MoveNext())
            {
                letters.Add((Encoding.UTF8.GetString(records.Current.Value!.Value.Span), records.Current.ReadHeaders()
                    .Where(header => header.Name() == DeadLetterHeaders.Reason).Select(header => header.TextValue()!).Single()));
            }
        }
        return letters;
    }

    // Produce, version 3.
    private async Task ProduceOverKafkaAsync(TopicPartition partition, string key, string value)
    {
        using var batch = new RecordBatchBuilder();
        batch.Add(DateTimeOffset.UtcNow.ToUnixTimeMilliseconds(), Encoding.UTF8.GetBytes(key), true, Encoding.UTF8.GetBytes(value), true);
        var records = batch.Build().ToArray();
        var request = new MemoryStream();
        void Write16(short number) => request.Write([(byte)(number >> 8), (byte)number]);
        void Write32(int number) { Write16((short)(number >> 16)); Write16((short)number); }
        void WriteText(string text) { Write16((short)text.Length); request.Write(Encoding.UTF8.GetBytes(text)); }
        Write16(0); // Key.
        Write16(3); // Version.
        Write32(7); // Correlation id.
        Write16(-1); // No client id.
        Write16(-1); // No transaction.
        Write16(-1); // All replicas.
        Write32(10_000);
        Write32(1);
        WriteText(partition.Topic);
        Write32(1);
        Write32(partition.Partition);
        Write32(records.Length);
        request.Write(records);

        using var client = new TcpClient();
        await client.ConnectAsync(_silo.Services.GetServices<IGateway>().Single(static gateway => gateway.Name == "kafka").EndPoint);
        var stream = client.GetStream();
        var head = new byte[sizeof(int)];
        BinaryPrimitives.WriteInt32BigEndian(head, (int)request.Length);
        await stream.WriteAsync(head);
        await stream.WriteAsync(request.ToArray());
        using var deadline = new CancellationTokenSource(Wait.Deadline);
        await stream.ReadExactlyAsync(head, deadline.Token);
        var response = new byte[BinaryPrimitives.ReadInt32BigEndian(head)];
        await stream.ReadExactlyAsync(response, deadline.Token);
        // Correlation id, one topic with its name, one partition with its number; then the error.
        var error = sizeof(int) + sizeof(int) + sizeof(short) + partition.Topic.Length + sizeof(int) + sizeof(int);
        Assert.Equal(0, BinaryPrimitives.ReadInt16BigEndian(response.AsSpan(error)));
    }

    // Holds the lookup of a topic after its ends were looked up.
    private sealed class HeldBroker(IBroker inner, string topic) : ForwardingBroker(inner)
    {
        private bool _hasEnds;
        public TaskCompletionSource Held { get; } = new(TaskCreationOptions.RunContinuationsAsynchronously);
        public TaskCompletionSource Go { get; } = new(TaskCreationOptions.RunContinuationsAsynchronously);

        public override ValueTask<OffsetResult> FindOffsetAsync(TopicPartition partition, OffsetSpec spec,
            CancellationToken cancellationToken = default)
        {
            _hasEnds |= partition.Topic == topic && spec == OffsetSpec.Latest;
            return base.FindOffsetAsync(partition, spec, cancellationToken);
        }

        public override async ValueTask<TopicListing> GetTopicAsync(string name, CancellationToken cancellationToken = default)
        {
            if (_hasEnds && name == topic)
            {
                Held.TrySetResult();
                await Go.Task;
            }
            return await base.GetTopicAsync(name, cancellationToken);
        }
    }

    // Does not remember an existing topic at the first look.
    private sealed class ForgetfulBroker(IBroker inner, string topic) : ForwardingBroker(inner)
    {
        public bool HasForgotten { get; private set; }

        public override async ValueTask<TopicListing> GetTopicAsync(string name, CancellationToken cancellationToken = default)
        {
            var found = await base.GetTopicAsync(name, cancellationToken);
            if (name != topic || HasForgotten)
                return found;
            HasForgotten = true;
            throw new BrokerException(ErrorCode.UnknownTopicOrPartition, "Not yet.");
        }
    }

    private sealed class SilentBroker(IBroker inner) : ForwardingBroker(inner)
    {
        public TaskCompletionSource Asked { get; } = new(TaskCreationOptions.RunContinuationsAsynchronously);
        public TaskCompletionSource<IReadOnlyList<TopicListing>> Never { get; } = new();

        public override ValueTask<IReadOnlyList<TopicListing>> ListTopicsAsync(CancellationToken cancellationToken = default)
        {
            Asked.TrySetResult();
            return new(Never.Task);
        }
    }

    private sealed class ServicesWith(IServiceProvider inner, OrleansMqClient client) : IKeyedServiceProvider
    {
        public object? GetService(Type serviceType) => serviceType == typeof(OrleansMqClient) ? client : inner.GetService(serviceType);

        public object? GetKeyedService(Type serviceType, object? serviceKey) =>
            ((IKeyedServiceProvider)inner).GetKeyedService(serviceType, serviceKey);

        public object GetRequiredKeyedService(Type serviceType, object? serviceKey) =>
            ((IKeyedServiceProvider)inner).GetRequiredKeyedService(serviceType, serviceKey);
    }

    private sealed class UnprovenBroker(IBroker inner) : ForwardingBroker(inner)
    {
        public bool IsProven { get; set; }
        public int Refused { get; private set; }

        public override ValueTask<OffsetResult> FindOffsetAsync(TopicPartition partition, OffsetSpec spec,
            CancellationToken cancellationToken = default)
        {
            if (spec != OffsetSpec.LatestProven || IsProven)
                return base.FindOffsetAsync(partition, spec, cancellationToken);
            Refused++;
            return new(new OffsetResult(ErrorCode.OffsetNotAvailable, -1, Message: "Not yet."));
        }
    }

    private sealed class Builder(IServiceCollection services) : ISiloBuilder
    {
        public IServiceCollection Services => services;
        public Microsoft.Extensions.Configuration.IConfiguration Configuration { get; } =
            new Microsoft.Extensions.Configuration.ConfigurationManager();
    }
}

/// <summary>Checks of what was received.</summary>
internal static class StreamAssert
{
    /// <summary>Numbers from 0 on: each may come again, and none is skipped.</summary>
    public static void IsInOrder(IReadOnlyList<int> numbers)
    {
        var next = 0;
        foreach (var number in numbers)
        {
            Assert.True(number <= next, $"{number} came before {next}: {string.Join(' ', numbers)}");
            next = Math.Max(next, number + 1);
        }
    }
}
