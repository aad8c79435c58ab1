using System.Collections.Concurrent;
using System.Diagnostics.Metrics;
using System.Text;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Logging.Abstractions;
using Microsoft.Extensions.Options;
using Orleans.Configuration;
using Orleans.Metadata;
using OrleansMq.Api;
using OrleansMq.Brokers;
using OrleansMq.Client;
using OrleansMq.Consumers;
using OrleansMq.Tests.Shared;
using Letter = (string? Key, string? Value, string Reason);

namespace OrleansMq.Tests.OrleansPackages.Consumers;

/// <summary>Grains that consume topics, on one silo: which records come, in which order, and what becomes of those that fail.</summary>
public sealed class ConsumerTests : IAsyncLifetime
{
    private readonly TempDirectory _data = new();
    private TestSilo? _silo;

    private OrleansMqClient Client => new(_silo!.Inside);

    public Task InitializeAsync() => Task.CompletedTask;

    public async Task DisposeAsync()
    {
        if (_silo is not null)
            await _silo.DisposeAsync();
        SharedStorage.Failing = null;
        _data.Dispose();
    }

    [Fact]
    public async Task Records_of_each_key_come_to_its_grain_in_order_with_their_facts()
    {
        await StartAsync();
        await Client.Admin.CreateTopicAsync("consume-facts", 3);
        var began = DateTimeOffset.UtcNow.AddMinutes(-1);
        await using var producer = Client.CreateProducer<string, string>();
        await Task.WhenAll(Enumerable.Range(0, 200).Select(number => producer.SendAsync(new("consume-facts", $"{number % 5}",
            $$"""{"number":{{number}}}""") { Headers = new[] { RecordHeaders.Text("trace", $"t{number}") } }).AsTask()));
        for (var key = 0; key < 5; key++)
        {
            await ReceivedAsync("consume-facts", $"{key}", [.. Enumerable.Range(0, 200).Where(number => number % 5 == key)]);
            var calls = ConsumerScript.Calls("consume-facts", $"{key}");
            Assert.All(calls, call =>
            {
                Assert.Equal($"{key}", call.Grain.GetPrimaryKeyString());
                Assert.Equal($"t{call.Number}", call.Record.FindHeader("trace"));
                Assert.Null(call.Record.FindHeader("other"));
                Assert.Equal((1, false), (call.Record.Attempt, call.Record.IsRedelivered));
                Assert.InRange(call.Record.Time, began, DateTimeOffset.UtcNow.AddMinutes(1));
            });
            Assert.Single(calls.Select(static call => (call.Record.Position.Source, call.Record.Partition)).Distinct());
            Assert.Equal(calls.Select(static call => call.Record.Offset).Order(), calls.Select(static call => call.Record.Offset));
        }
    }

    [Fact]
    public async Task Two_keys_of_one_partition_are_consumed_at_once_and_one_key_is_not()
    {
        var (running, most) = (new ConcurrentDictionary<string, int>(), 0);
        var both = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        ConsumerScript.On("consume-parallel", async call =>
        {
            var key = call.Grain.GetPrimaryKeyString();
            Assert.Equal(1, running.AddOrUpdate(key, 1, static (_, count) => count + 1));
            if (running.Values.Sum() == 2)
                both.TrySetResult();
            most = Math.Max(most, running.Values.Sum());
            // Neither ends before both have begun.
            await both.Task;
            running[key] = 0;
        });
        await StartAsync();
        await Client.Admin.CreateTopicAsync("consume-parallel", 1);
        await SendAsync("consume-parallel", ("a", 1), ("a", 2), ("b", 3), ("b", 4));
        await ReceivedAsync("consume-parallel", "a", [1, 2]);
        await ReceivedAsync("consume-parallel", "b", [3, 4]);
        Assert.Equal(2, most);
    }

    [Fact]
    public async Task Record_that_fails_comes_again_before_later_ones_of_its_key_and_holds_no_other_key_back()
    {
        var isMended = false;
        var activations = new ConcurrentDictionary<Grain, bool>();
        ConsumerScript.On("consume-retry", call =>
        {
            activations[call.Grain] = true;
            return call.Number != 2 || isMended ? Task.CompletedTask : throw new InvalidOperationException("not now");
        });
        await StartAsync(static options => options with { MaxAttempts = 1_000, MaxRetryDelay = TimeSpan.FromMilliseconds(20) });
        await Client.Admin.CreateTopicAsync("consume-retry", 1);
        await SendAsync("consume-retry", ("bad", 1), ("bad", 2), ("bad", 3), ("good", 4), ("good", 5));
        await ReceivedAsync("consume-retry", "good", [4, 5]);
        await ReceivedAsync("consume-retry", "bad", [1]);
        await Wait.UntilAsync(() => activations.Count > 3, "each failure ends the activation");
        isMended = true;
        await ReceivedAsync("consume-retry", "bad", [1, 2, 3]);
        var calls = ConsumerScript.Calls("consume-retry", "bad");
        Assert.True(calls[1].Record.Attempt > 2, $"attempt {calls[1].Record.Attempt}");
        Assert.Equal(1, calls[2].Record.Attempt);
    }

    [Fact]
    public async Task Record_that_always_fails_is_dead_lettered_with_its_cause_and_later_ones_go_on()
    {
        var attempts = 0;
        ConsumerScript.On("consume-fails", call => call.Number != 1 ? Task.CompletedTask
            : throw new InvalidOperationException($"attempt {Interlocked.Increment(ref attempts)} of {call.Record.Attempt}"));
        await StartAsync();
        await Client.Admin.CreateTopicAsync("consume-fails", 1);
        await SendAsync("consume-fails", ("k", 1), ("k", 2));
        await ReceivedAsync("consume-fails", "k", [2]);
        var letter = Assert.Single(await LettersAsync("consume-fails", 1));
        Assert.Equal(("k", """{"number":1}"""), (letter.Key, letter.Value));
        Assert.Contains("attempt 3 of 3", letter.Reason, StringComparison.Ordinal);
        Assert.Contains("orders/k, topic consume-fails: System.InvalidOperationException", letter.Reason, StringComparison.Ordinal);
        Assert.Equal(3, attempts);
    }

    [Fact]
    public async Task Deliveries_are_counted_by_what_became_of_them_and_a_faulty_listener_fails_none()
    {
        var (counted, duration) = (new ConcurrentDictionary<string, long>(), 0);
        using var listener = new MeterListener
        {
            InstrumentPublished = static (instrument, listener) =>
            {
                if (instrument.Meter.Name == OrleansMqDiagnostics.Name
                    && instrument.Name.StartsWith("orleansmq.grains.", StringComparison.Ordinal))
                    listener.EnableMeasurementEvents(instrument);
            },
        };
        listener.SetMeasurementEventCallback<long>((instrument, value, tags, _) =>
        {
            var of = tags.ToArray().ToDictionary(static tag => tag.Key, static tag => tag.Value as string);
            if (of["messaging.destination.name"] == "consume-metrics")
            {
                counted.AddOrUpdate(instrument.Name["orleansmq.grains.".Length..] + " " + of.GetValueOrDefault("orleansmq.outcome"), value,
                    (_, before) => before + value);
            }
        });
        listener.SetMeasurementEventCallback<double>((_, _, tags, _) =>
        {
            if (tags.ToArray().Any(static tag => tag.Value is "consume-metrics") && Interlocked.Increment(ref duration) > 0)
                throw new NotSupportedException("a faulty listener");
        });
        listener.Start();
        ConsumerScript.On("consume-metrics", static call => call.Number != 1 ? Task.CompletedTask
            : throw new InvalidOperationException("never"));
        await StartAsync();
        await Client.Admin.CreateTopicAsync("consume-metrics", 1);
        await SendAsync("consume-metrics", ("k", 1), ("k", 2), ("l", 3));
        await ReceivedAsync("consume-metrics", "k", [2]);
        await ReceivedAsync("consume-metrics", "l", [3]);
        await Wait.UntilAsync(() => counted.GetValueOrDefault("delivered.messages served") == 2
            && counted.GetValueOrDefault("held.messages ", -1) == 0 && counted.GetValueOrDefault("calls ", -1) == 0,
            "what is delivered is counted");
        Assert.Equal((2, 1), (counted["delivered.messages failed"], counted["delivered.messages dead_lettered"]));
        Assert.True(duration > 0);
    }

    [Fact]
    public async Task Record_that_no_grain_can_consume_is_dead_lettered_at_once_with_the_reason()
    {
        await StartAsync();
        await Client.Admin.CreateTopicAsync("consume-unfit", 1);
        await using var producer = Client.CreateProducer<byte[]?, byte[]?>();
        await producer.SendAsync(new("consume-unfit", null, """{"number":1}"""u8.ToArray()));
        await producer.SendAsync(new("consume-unfit", [0xC3], """{"number":2}"""u8.ToArray()));
        await producer.SendAsync(new("consume-unfit", "k"u8.ToArray(), "no json"u8.ToArray()));
        await producer.SendAsync(new("consume-unfit", "k"u8.ToArray(), """{"number":4}"""u8.ToArray()));
        await ReceivedAsync("consume-unfit", "k", [4]);
        var letters = await LettersAsync("consume-unfit", 3);
        Assert.Contains(letters, static letter => letter.Reason.StartsWith("The record has no key", StringComparison.Ordinal));
        Assert.Contains(letters, static letter => letter.Reason.Contains("is no key of a grain of", StringComparison.Ordinal)
            && letter.Reason.Contains("UTF-8 text", StringComparison.Ordinal));
        Assert.Contains(letters, static letter => letter.Value == "no json"
            && letter.Reason.Contains("The value is none that the class consumes", StringComparison.Ordinal));
    }

    [Fact]
    public async Task Grain_that_deactivates_in_the_middle_misses_nothing()
    {
        ConsumerScript.On("consume-deactivates", static call =>
        {
            if (call.Number % 7 == 3)
                ((IGrainBase)call.Grain).DeactivateOnIdle();
            return Task.CompletedTask;
        });
        // Of a run that is one call, the rest comes to the activation that is to end.
        await StartAsync(static options => options with { MaxBatch = 1 });
        await Client.Admin.CreateTopicAsync("consume-deactivates", 1);
        await SendAsync("consume-deactivates", [.. Enumerable.Range(0, 100).Select(static number => ("k", number))]);
        await ReceivedAsync("consume-deactivates", "k", [.. Enumerable.Range(0, 100)]);
        Assert.True(ConsumerScript.Calls("consume-deactivates", "k").Select(static call => call.Grain).Distinct().Count() > 1);
    }

    [Fact]
    public async Task Class_with_two_topics_consumes_the_type_of_each()
    {
        var key = Guid.NewGuid();
        await StartAsync();
        await Client.Admin.CreateTopicAsync("consume-two-orders", 1);
        await Client.Admin.CreateTopicAsync("consume-two-payments", 1);
        await using var producer = Client.CreateProducer<string, string>();
        await producer.SendAsync(new("consume-two-orders", $"{key}", """{"number":5}"""));
        await producer.SendAsync(new("consume-two-payments", $"{key:N}", """{"cents":250}"""));
        await ReceivedAsync("consume-two-orders", $"{key}", [5]);
        await ReceivedAsync("consume-two-payments", $"{key:N}", [250]);
        Assert.Equal(ConsumerScript.Calls("consume-two-orders", $"{key}")[0].Grain,
            ConsumerScript.Calls("consume-two-payments", $"{key:N}")[0].Grain);
    }

    [Fact]
    public async Task Silo_whose_topic_does_not_exist_does_not_start_and_says_which_class_and_what_to_do()
    {
        var refused = await Assert.ThrowsAnyAsync<Exception>(() => StartAsync(static options => options with
        {
            MissingTopic = MissingTopic.Fail,
            Serves = static type => type == typeof(AccountGrain),
        }));
        var text = refused.ToString();
        Assert.Contains(typeof(AccountGrain).FullName!, text, StringComparison.Ordinal);
        Assert.Contains("consumes topic 'consume-two-", text, StringComparison.Ordinal);
        Assert.Contains("omq topic create consume-two-", text, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Silo_creates_the_topics_of_its_classes_where_it_is_told_to()
    {
        await StartAsync(static options => options with
        {
            MissingTopic = MissingTopic.Create,
            Serves = static type => type == typeof(AccountGrain),
        });
        var topic = await _silo!.Inside.DescribeTopicAsync("consume-two-orders");
        Assert.Equal("true", topic.Configs.Single(static config => config.Name == "retention.until.settled").Value);
        await SendAsync("consume-two-orders", ($"{Guid.Empty}", 9));
        await ReceivedAsync("consume-two-orders", $"{Guid.Empty}", [9]);
    }

    [Fact]
    public async Task Silo_whose_brokers_do_not_answer_starts_and_consumes_when_they_do()
    {
        await StartAsync(static options => options with { Serves = static _ => false });
        await Client.Admin.CreateTopicAsync("consume-two-orders", 1);
        await Client.Admin.CreateTopicAsync("consume-two-payments", 1);
        var broker = new RefusingBroker(_silo!.Inside) { Refusal = new BrokerException(ErrorCode.BrokerNotAvailable, "Not now.") };
        var lifecycle = Participating(broker, static options => options with { StartTimeout = TimeSpan.Zero });
        await lifecycle.Observer!.OnStart(CancellationToken.None);
        Assert.Empty(await broker.Queues.ListAsync(new TopicPartition("consume-two-orders", 0)));
        broker.Refusal = null;
        await Wait.UntilAsync(async () => (await broker.Queues.ListAsync(new TopicPartition("consume-two-orders", 0)))
            is [{ Name: "grains:account", Consumers: 1 }], "the topic is consumed");
        await lifecycle.Observer.OnStop(CancellationToken.None);
    }

    [Fact]
    public async Task Silo_whose_topic_is_refused_does_not_start_and_says_which_class_and_why()
    {
        await StartAsync(static options => options with { Serves = static _ => false });
        var broker = new RefusingBroker(_silo!.Inside) { Refusal = new BrokerException(ErrorCode.TopicAuthorizationFailed, "Not yours.") };
        var refused = await Assert.ThrowsAsync<OrleansConfigurationException>(() =>
            Participating(broker, static options => options).Observer!.OnStart(CancellationToken.None));
        Assert.Contains($"Grain class {typeof(AccountGrain).FullName} cannot consume topic 'consume-two-", refused.Message,
            StringComparison.Ordinal);
        Assert.Contains("Not yours.", refused.Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Silo_starts_where_a_partition_has_as_many_queues_as_it_may_unless_all_have()
    {
        await StartAsync(static options => options with { Serves = static _ => false },
            static broker => broker with { MaxQueuesPerPartition = 1 });
        await Client.Admin.CreateTopicAsync("consume-two-orders", 2);
        await Client.Admin.CreateTopicAsync("consume-two-payments", 1);
        await _silo!.Inside.Queues.CreateAsync(new TopicPartition("consume-two-orders", 0), new NewQueue("other"));
        var lifecycle = Participating(_silo.Inside, static options => options);
        await lifecycle.Observer!.OnStart(CancellationToken.None);
        await Wait.UntilAsync(async () => (await _silo.Inside.Queues.ListAsync(new TopicPartition("consume-two-orders", 1)))
            is [{ Name: "grains:account", Consumers: 1 }], "the partition with room is consumed");
        await lifecycle.Observer.OnStop(CancellationToken.None);

        await _silo.Inside.Queues.DeleteAsync(new TopicPartition("consume-two-orders", 1), "grains:account");
        await _silo.Inside.Queues.CreateAsync(new TopicPartition("consume-two-orders", 1), new NewQueue("other"));
        var refused = await Assert.ThrowsAsync<OrleansConfigurationException>(() =>
            Participating(_silo.Inside, static options => options).Observer!.OnStart(CancellationToken.None));
        Assert.Contains("cannot consume topic 'consume-two-orders'", refused.Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task No_more_grains_are_called_at_once_than_the_limit_says()
    {
        const int Limit = 3;
        var (running, most) = (0, 0);
        var gate = new Lock();
        var full = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        ConsumerScript.On("consume-flight", async _ =>
        {
            lock (gate)
            {
                most = Math.Max(most, ++running);
                if (running == Limit)
                    full.TrySetResult();
            }
            // None ends before as many have begun as may.
            await full.Task;
            await Task.Delay(5);
            lock (gate)
                running--;
        });
        await StartAsync(static options => options with { MaxInFlight = Limit });
        await Client.Admin.CreateTopicAsync("consume-flight", 2);
        await SendAsync("consume-flight", [.. Enumerable.Range(0, 30).Select(static number => ($"{number}", number))]);
        for (var key = 0; key < 30; key++)
            await ReceivedAsync("consume-flight", $"{key}", [key]);
        Assert.Equal(Limit, most);
    }

    [Fact]
    public async Task Grain_that_stalls_with_more_records_than_a_silo_holds_at_once_holds_no_other_and_misses_none()
    {
        const string Topic = "consume-credit";
        const int Held = 10;
        const int Sent = 60;
        var gate = new TaskCompletionSource();
        ConsumerScript.On(Topic, call => call.Number == 0 ? gate.Task : Task.CompletedTask);
        await StartAsync(static options => options with { Credit = Held });
        await Client.Admin.CreateTopicAsync(Topic, 1);
        await SendAsync(Topic, [.. Enumerable.Range(0, Sent).Select(static number => ("stalled", number))]);
        await SendAsync(Topic, [.. Enumerable.Range(Sent, Sent).Select(static number => ($"{number % 3}", number))]);
        for (var key = 0; key < 3; key++)
            await ReceivedAsync(Topic, $"{key}", [.. Enumerable.Range(Sent, Sent).Where(number => number % 3 == key)]);
        Assert.Empty(ConsumerScript.Received(Topic, "stalled"));
        gate.SetResult();
        await ReceivedAsync(Topic, "stalled", [.. Enumerable.Range(0, Sent)]);
    }

    [Fact]
    public async Task Activations_beyond_the_limit_are_deactivated_the_oldest_first()
    {
        await StartAsync(static options => options with { MaxActivations = 10 });
        await Client.Admin.CreateTopicAsync("consume-limit", 1);
        await SendAsync("consume-limit", [.. Enumerable.Range(0, 50).Select(static number => ($"{number}", number))]);
        for (var key = 0; key < 50; key++)
            await ReceivedAsync("consume-limit", $"{key}", [key]);
        await Wait.UntilAsync(async () => (await _silo!.Client.GetGrain<IManagementGrain>(0).GetDetailedGrainStatistics())
            .Count(static statistic => statistic.GrainId.Type == GrainType.Create("orders")) == 10, "ten are left");
    }

    [Fact]
    public async Task Records_of_a_topic_that_is_created_again_come_to_an_activation_that_had_higher_offsets()
    {
        await StartAsync();
        await Client.Admin.CreateTopicAsync("consume-again", 1);
        await SendAsync("consume-again", ("k", 1), ("k", 2));
        await ReceivedAsync("consume-again", "k", [1, 2]);
        await Client.Admin.DeleteTopicAsync("consume-again");
        await Client.Admin.CreateTopicAsync("consume-again", 1);
        await SendAsync("consume-again", ("k", 3));
        await ReceivedAsync("consume-again", "k", [1, 2, 3]);
        var calls = ConsumerScript.Calls("consume-again", "k");
        Assert.Same(calls[0].Grain, calls[2].Grain);
        Assert.NotEqual(calls[0].Record.Position.Source, calls[2].Record.Position.Source);
    }

    [Theory]
    [InlineData("consume-once")]
    [InlineData("consume-journal")]
    [InlineData("consume-journal-log")]
    [InlineData("consume-once-interleaved")]
    public async Task Effect_in_grain_state_happens_once_where_writes_fail_before_and_after_they_are_stored(string topic)
    {
        var writes = 0;
        // No later write stores what the last one of a grain has not stored.
        var isLast = new ConcurrentDictionary<GrainId, bool>();
        ConsumerScript.On(topic, call =>
        {
            if (call is { Number: >= 57, Record.Attempt: 1 })
                isLast[call.Grain.GetGrainId()] = true;
            return Task.CompletedTask;
        });
        SharedStorage.Failing = grain => !grain.Key.ToString()!.StartsWith("faults-", StringComparison.Ordinal) ? default
            : isLast.TryRemove(grain, out _) ? (new IOException("not stored"), null)
            : (Interlocked.Increment(ref writes) % 5) switch
            {
                1 => (new IOException("not stored"), null),
                3 => (null, new IOException("stored, and not answered")),
                _ => default,
            };
        await StartAsync(static options => options with
        {
            MaxAttempts = 100,
            MaxRetryDelay = TimeSpan.FromMilliseconds(20),
            Serves = static type => type == typeof(TallyGrain) || type == typeof(JournalGrain) || type == typeof(LogJournalGrain)
                || type == typeof(InterleavedTallyGrain),
        });
        await Client.Admin.CreateTopicAsync(topic, 1);
        using var isDone = new CancellationTokenSource();
        var touching = topic == "consume-once-interleaved" ? TouchAsync() : Task.CompletedTask;
        await SendAsync(topic, [.. Enumerable.Range(0, 60).Select(static number => ($"faults-{number % 3}", number))]);
        // A record is settled when its effect is stored. Until then an activation may show effects that it has not stored, and ends.
        await Wait.UntilAsync(async () => (await Client.Broker.Queues.ListAsync(new TopicPartition(topic, 0))) is [{ Unsettled: 0 }],
            "every record is settled");
        await isDone.CancelAsync();
        await touching;
        for (var key = 0; key < 3; key++)
        {
            await _silo!.DeactivateAsync(GrainOf($"faults-{key}"));
            Assert.Equal(Enumerable.Range(0, 60).Where(number => number % 3 == key), await GetAsync($"faults-{key}"));
        }

        IAddressable GrainOf(string key) => topic switch
        {
            "consume-once" => _silo!.Client.GetGrain<ITallyGrain>(key),
            "consume-journal" => _silo!.Client.GetGrain<IJournalGrain>(key),
            "consume-journal-log" => _silo!.Client.GetGrain<ILogJournalGrain>(key),
            _ => _silo!.Client.GetGrain<IInterleavedTallyGrain>(key),
        };

        Task<int[]> GetAsync(string key) => GrainOf(key) switch
        {
            ITallyGrain tally => tally.GetAsync(),
            IJournalGrain journal => journal.GetAsync(),
            ILogJournalGrain journal => journal.GetAsync(),
            var other => ((IInterleavedTallyGrain)other).GetAsync(),
        };

        // Some of its writes fail, too.
        async Task TouchAsync()
        {
            for (var key = 0; !isDone.IsCancellationRequested; key = (key + 1) % 3)
            {
                await ((Task)_silo!.Client.GetGrain<IInterleavedTallyGrain>($"faults-{key}").TouchAsync())
                    .ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
                await Task.Delay(1);
            }
        }
    }

    [Fact]
    public async Task Run_of_small_records_that_is_larger_than_a_message_is_delivered_in_several_calls()
    {
        const string Topic = "consume-message-size";
        const int Records = 60;
        var sent = new TaskCompletionSource();
        ConsumerScript.On(Topic, async call => await (call.Number == 0 ? sent.Task : Task.CompletedTask));
        _silo = await TestSilo.StartAsync(_data.Path, silo =>
        {
            SharedStorage.AddTo(silo);
            silo.Services.Configure<SiloMessagingOptions>(static options => options.MaxMessageBodySize = 1 << 20);
            silo.AddOrleansMqConsumers(static options => Configured(options, null));
        });
        await Client.Admin.CreateTopicAsync(Topic, 1);
        // The first record holds the grain back until the others wait.
        var padding = new string('x', 50_000);
        await using (var producer = Client.CreateProducer<string, string>())
        {
            for (var number = 0; number < Records; number++)
                await producer.SendAsync(new(Topic, "small", $$"""{"number":{{number}},"padding":"{{padding}}"}"""));
        }
        sent.SetResult();
        await ReceivedAsync(Topic, "small", [.. Enumerable.Range(0, Records)]);
        Assert.Equal(0, (await Client.Broker.DescribeTopicAsync(Topic + ".dead-letter")).Partitions[0].HighWatermark);
    }

    private RecordedLifecycle Participating(IBroker broker, Func<OrleansMqConsumerOptions, OrleansMqConsumerOptions> configure)
    {
        var options = configure(Configured(new(), null)) with { Serves = static type => type == typeof(AccountGrain) };
        var services = _silo!.Services;
        var lifecycle = new RecordedLifecycle();
        new ConsumerDispatcher(new ConsumerClasses(services.GetRequiredService<IOptions<GrainTypeOptions>>(),
            services.GetRequiredService<GrainTypeResolver>(), options), options, new OrleansMqClient(broker),
            services.GetRequiredService<IGrainFactory>(), services.GetRequiredService<IClusterManifestProvider>(),
            NullLoggerFactory.Instance).Participate(lifecycle);
        return lifecycle;
    }

    private async Task StartAsync(Func<OrleansMqConsumerOptions, OrleansMqConsumerOptions>? configure = null,
        Func<BrokerOptions, BrokerOptions>? broker = null) =>
        _silo = await TestSilo.StartAsync(_data.Path, silo =>
        {
            SharedStorage.AddTo(silo);
            silo.AddOrleansMqConsumers(options => Configured(options, configure));
        }, configure: broker);

    private static OrleansMqConsumerOptions Configured(OrleansMqConsumerOptions options,
        Func<OrleansMqConsumerOptions, OrleansMqConsumerOptions>? configure)
    {
        options = options with
        {
            MissingTopic = MissingTopic.Wait,
            RetryDelay = TimeSpan.FromMilliseconds(10),
            RefreshInterval = TimeSpan.FromMilliseconds(50),
            Serves = static type => type == typeof(OrdersGrain) || type == typeof(AccountGrain),
        };
        return configure?.Invoke(options) ?? options;
    }

    private async Task SendAsync(string topic, params (string Key, int Number)[] records)
    {
        await using var producer = Client.CreateProducer<string, string>();
        await Task.WhenAll(records.Select(record =>
            producer.SendAsync(new(topic, record.Key, $$"""{"number":{{record.Number}}}""")).AsTask()));
    }

    private static async Task ReceivedAsync(string topic, string key, int[] expected)
    {
        await Wait.UntilAsync(() => ConsumerScript.Received(topic, key).Length >= expected.Length, $"{expected.Length} records of {key}");
        Assert.Equal(expected, ConsumerScript.Received(topic, key));
    }

    private async Task<Letter[]> LettersAsync(string topic, int count)
    {
        await using var reader = Client.CreatePartitionReader<string?, string?>();
        reader.Assign(new TopicPartition(topic + ".dead-letter", 0), ReadFrom.Earliest);
        var letters = new List<Letter>();
        using var deadline = new CancellationTokenSource(Wait.Deadline);
        while (letters.Count < count)
        {
            var read = await reader.ReadAsync(deadline.Token);
            letters.Add((read.Key, read.Value, Encoding.UTF8.GetString(read.Headers.Single(static header =>
                Encoding.UTF8.GetString(header.Key.Span) == DeadLetterHeaders.Reason).Value!.Value.Span)));
        }
        return [.. letters];
    }

    private sealed class RefusingBroker(IBroker inner) : ForwardingBroker(inner)
    {
        public BrokerException? Refusal { get; set; }

        public override ValueTask<TopicListing> GetTopicAsync(string name, CancellationToken cancellationToken = default) =>
            Refusal is { } refusal ? throw refusal : base.GetTopicAsync(name, cancellationToken);

        public override ValueTask<IReadOnlyList<TopicListing>> ListTopicsAsync(CancellationToken cancellationToken = default) =>
            Refusal is { } refusal ? throw refusal : base.ListTopicsAsync(cancellationToken);
    }
}
