using System.Collections.Concurrent;
using System.Text;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Logging.Abstractions;
using Microsoft.Extensions.Options;
using Orleans.Configuration;
using Orleans.Metadata;
using OrleansMq.Api;
using OrleansMq.Client;
using OrleansMq.Consumers;
using OrleansMq.Tests.Shared;

namespace OrleansMq.Tests.OrleansPackages.Consumers;

/// <summary>Grain consumers whose activations, writes and calls fail: no record is settled whose effect is not stored.</summary>
public sealed class ConsumerFaultTests : IAsyncLifetime
{
    private readonly TempDirectory _data = new();
    private TestSilo? _silo;

    private OrleansMqClient Client => new(_silo!.Inside);

    public Task InitializeAsync() => Task.CompletedTask;

    public async Task DisposeAsync()
    {
        if (_silo is not null)
            await _silo.DisposeAsync();
        _data.Dispose();
    }

    [Fact]
    public async Task Call_that_waited_while_an_earlier_one_failed_does_not_run_on_the_state_that_was_not_stored()
    {
        var (entered, failing) = (new TaskCompletionSource(), new TaskCompletionSource());
        ConsumerScript.On("fault-reentrant", async call =>
        {
            if (call.Record.IsRedelivered)
                return;
            entered.TrySetResult();
            await failing.Task;
            throw new IOException("not stored");
        });
        await StartAsync(typeof(ReentrantTallyGrain));
        var receiver = Receiver("reentranttally", "waits");
        var first = receiver.DeliverAsync(Delivery("waits", 5, isRedelivered: false));
        await entered.Task.WaitAsync(Wait.Deadline);
        // Another silo delivers the record as well, while the call of the first one still runs.
        var second = receiver.DeliverAsync(Delivery("waits", 5, isRedelivered: true));
        Assert.Equal(5, await receiver.FindCurrentAsync(Delivery("waits", 5, isRedelivered: false).SourceInQueue));
        failing.SetResult();
        Assert.Equal(DeliveryOutcome.Failed, (await first).Outcome);
        Assert.Equal((0, DeliveryOutcome.Unreachable), ((await second).Count, (await second).Outcome));
        Assert.Equal((1, DeliveryOutcome.Served), await OutcomeAsync(Delivery("waits", 5, isRedelivered: true)));
        Assert.Equal((int[])[5], await _silo!.Client.GetGrain<IReentrantTallyGrain>("waits").GetAsync());

        async Task<(int, DeliveryOutcome)> OutcomeAsync(RecordDelivery delivery)
        {
            var answer = await receiver.DeliverAsync(delivery);
            return (answer.Count, answer.Outcome);
        }
    }

    [Fact]
    public async Task Call_that_waits_too_long_for_an_earlier_one_ends_and_its_record_does_not_run()
    {
        var (entered, ending) = (new TaskCompletionSource(), new TaskCompletionSource());
        ConsumerScript.On("fault-reentrant", async call =>
        {
            Assert.False(call.Record.IsRedelivered);
            entered.TrySetResult();
            await ending.Task;
        });
        await StartAsync(typeof(ReentrantTallyGrain), static options => options with { TurnTimeout = TimeSpan.FromMilliseconds(20) });
        var receiver = Receiver("reentranttally", "hangs");
        var first = receiver.DeliverAsync(Delivery("hangs", 5, isRedelivered: false));
        await entered.Task.WaitAsync(Wait.Deadline);
        Assert.Equal(DeliveryOutcome.Unreachable, (await receiver.DeliverAsync(Delivery("hangs", 5, isRedelivered: true))).Outcome);
        ending.SetResult();
        Assert.Equal((1, DeliveryOutcome.Served), ((await first).Count, (await first).Outcome));
    }

    [Fact]
    public async Task Grain_that_writes_its_state_when_it_deactivates_has_each_effect_once()
    {
        ConsumerScript.On("fault-write-behind", static call => call is { Number: 2, Record.Attempt: 1 }
            ? throw new IOException("something else is away") : Task.CompletedTask);
        await StartAsync(typeof(WriteBehindGrain));
        await Client.Admin.CreateTopicAsync("fault-write-behind", 1);
        await SendAsync("fault-write-behind", ("behind", 1), ("behind", 2), ("behind", 3), ("behind", 4), ("other", 9));
        await Wait.UntilAsync(async () => (await TallyAsync("other")).Length == 1
            && await UnsettledAsync("fault-write-behind", "grains:writebehind") == 0, "all records are settled");
        await _silo!.DeactivateAsync(_silo.Client.GetGrain<IWriteBehindGrain>("behind"));
        Assert.Equal((int[])[1, 2, 3, 4], await TallyAsync("behind"));

        Task<int[]> TallyAsync(string key) => _silo!.Client.GetGrain<IWriteBehindGrain>(key).GetAsync();
    }

    [Fact]
    public async Task Activation_that_fails_counts_as_no_attempt_and_its_records_wait_while_other_keys_go_on()
    {
        var isAway = true;
        FragileGrain.Fails = key => isAway && key == "away";
        await StartAsync(typeof(FragileGrain));
        await Client.Admin.CreateTopicAsync("fault-activation", 1);
        await SendAsync("fault-activation", ("away", 1), ("away", 2), ("here", 3));
        await Wait.UntilAsync(() => ConsumerScript.Received("fault-activation", "here").Length == 1, "another key is consumed");
        await Wait.UntilAsync(() => FragileGrain.Activations > 6, "it fails more often than a record may");
        isAway = false;
        await Wait.UntilAsync(() => ConsumerScript.Received("fault-activation", "away").Length >= 2, "the records that waited");
        Assert.Equal([1, 2], ConsumerScript.Received("fault-activation", "away"));
        Assert.All(ConsumerScript.Calls("fault-activation", "away"), static call => Assert.Equal(1, call.Record.Attempt));
    }

    [Fact]
    public async Task Activation_that_fails_for_ever_is_dead_lettered_with_its_cause_after_the_longest_wait()
    {
        FragileGrain.Fails = static key => key == "lost";
        await StartAsync(typeof(FragileGrain), static options => options with { UnreachableTimeout = TimeSpan.FromMilliseconds(300) });
        await Client.Admin.CreateTopicAsync("fault-activation", 1);
        await SendAsync("fault-activation", ("lost", 1), ("lost", 2));
        await Wait.UntilAsync(async () => (await Client.Broker.ListTopicsAsync())
            .Any(static topic => topic.Name == "fault-activation.dead-letter"), "the dead-letter topic");
        await using var reader = Client.CreatePartitionReader<string?, string?>();
        reader.Assign(new TopicPartition("fault-activation.dead-letter", 0), ReadFrom.Earliest);
        using var deadline = new CancellationTokenSource(Wait.Deadline);
        for (var number = 1; number <= 2; number++)
        {
            var letter = await reader.ReadAsync(deadline.Token);
            Assert.Equal(("lost", $$"""{"number":{{number}}}"""), (letter.Key, letter.Value));
            var reason = Encoding.UTF8.GetString(letter.Headers.Single(static header =>
                Encoding.UTF8.GetString(header.Key.Span) == DeadLetterHeaders.Reason).Value!.Value.Span);
            Assert.Contains("not reached for 00:00:00.3", reason, StringComparison.Ordinal);
            Assert.Contains("The storage is away.", reason, StringComparison.Ordinal);
        }
        await Wait.UntilAsync(async () => await UnsettledAsync("fault-activation", "grains:fragile") == 0, "none waits any more");
    }

    [Fact]
    public async Task Record_times_are_turned_off_again()
    {
        await StartAsync(typeof(FragileGrain));
        await Client.Admin.CreateTopicAsync("fault-times", 3);
        var queues = _silo!.Inside.Queues;
        await SendAsync("fault-times", ("k", 1));
        await Wait.UntilAsync(() => ConsumerScript.Received("fault-times", "k").Length == 1, "the topic is consumed");
        foreach (var partition in Enumerable.Range(0, 3).Select(static number => new TopicPartition("fault-times", number)))
        {
            var options = (await queues.DescribeAsync(partition, "grains:fragile")).Options;
            Assert.False(options.HasRecordTimes);
            await queues.AlterAsync(partition, "grains:fragile", options with { HasRecordTimes = true });
        }
        await Wait.UntilAsync(async () => (await Task.WhenAll(Enumerable.Range(0, 3).Select(number =>
            queues.DescribeAsync(new TopicPartition("fault-times", number), "grains:fragile").AsTask())))
            .All(static described => !described.Options.HasRecordTimes), "no partition has record times");
    }

    [Fact]
    public async Task Record_that_comes_for_the_first_time_and_is_skipped_is_logged()
    {
        var logged = new Logged();
        await StartAsync(typeof(WriteBehindGrain), loggers: logged);
        await Client.Admin.CreateTopicAsync("fault-write-behind", 1);
        var receiver = Receiver("writebehind", "skips");
        Assert.Equal(DeliveryOutcome.Served, (await receiver.DeliverAsync(Delivery("skips", 6, false, "fault-write-behind"))).Outcome);
        Assert.Equal(DeliveryOutcome.Served, (await receiver.DeliverAsync(Delivery("skips", 6, true, "fault-write-behind"))).Outcome);
        Assert.DoesNotContain(logged.Lines, static line => line.Contains("is skipped", StringComparison.Ordinal));
        // By what the activation knows, and by what is in the state.
        Assert.Equal(DeliveryOutcome.Served, (await receiver.DeliverAsync(Delivery("skips", 5, false, "fault-write-behind"))).Outcome);
        await _silo!.DeactivateAsync(_silo.Client.GetGrain<IWriteBehindGrain>("skips"));
        Assert.Equal(DeliveryOutcome.Served, (await receiver.DeliverAsync(Delivery("skips", 4, false, "fault-write-behind"))).Outcome);
        Assert.Equal(["5", "4"], logged.Lines.Where(static line => line.Contains("is skipped", StringComparison.Ordinal))
            .Select(static line => line.Split("offset ")[1].Split(',')[0]));
        Assert.Equal((int[])[6], await _silo.Client.GetGrain<IWriteBehindGrain>("skips").GetAsync());
    }

    [Fact]
    public async Task Class_that_could_consume_and_names_no_topic_is_warned_of()
    {
        var logged = new Logged();
        await StartAsync(typeof(ForgottenGrain), loggers: logged);
        Assert.Single(logged.Lines, static line => line.StartsWith(
            $"Grain class {typeof(ForgottenGrain).FullName} implements IGrainConsumer and consumes nothing", StringComparison.Ordinal));
    }

    [Fact]
    public async Task Topic_that_is_unknown_for_a_moment_after_brokers_that_did_not_answer_is_not_missing()
    {
        await StartAsync(typeof(ForgottenGrain));
        string[] topics = ["fault-activation", "fault-times"];
        foreach (var topic in topics)
            await Client.Admin.CreateTopicAsync(topic, 1);
        var options = new OrleansMqConsumerOptions { Serves = static type => type == typeof(FragileGrain) };
        var services = _silo!.Services;
        var lifecycle = new RecordedLifecycle();
        new ConsumerDispatcher(new ConsumerClasses(services.GetRequiredService<IOptions<GrainTypeOptions>>(),
            services.GetRequiredService<GrainTypeResolver>(), options), options, new OrleansMqClient(new SlowBroker(_silo.Inside)),
            services.GetRequiredService<IGrainFactory>(), services.GetRequiredService<IClusterManifestProvider>(),
            NullLoggerFactory.Instance).Participate(lifecycle);
        await lifecycle.Observer!.OnStart(CancellationToken.None);
        foreach (var topic in topics)
            Assert.Equal("grains:fragile", Assert.Single(await _silo.Inside.Queues.ListAsync(new TopicPartition(topic, 0))).Name);
        await lifecycle.Observer.OnStop(CancellationToken.None);
    }

    private async Task StartAsync(Type grainClass, Func<OrleansMqConsumerOptions, OrleansMqConsumerOptions>? configure = null,
        ILoggerProvider? loggers = null) =>
        _silo = await TestSilo.StartAsync(_data.Path, silo =>
        {
            SharedStorage.AddTo(silo);
            if (loggers is not null)
                silo.Services.AddSingleton(loggers);
            silo.AddOrleansMqConsumers(options =>
            {
                options = options with
                {
                    MissingTopic = MissingTopic.Wait,
                    RetryDelay = TimeSpan.FromMilliseconds(10),
                    MaxRetryDelay = TimeSpan.FromMilliseconds(50),
                    RefreshInterval = TimeSpan.FromMilliseconds(50),
                    Serves = type => type == grainClass,
                };
                return configure?.Invoke(options) ?? options;
            });
        });

    private IRecordReceiver Receiver(string grainType, string key) => _silo!.Services.GetRequiredService<IGrainFactory>()
        .GetGrain(GrainId.Create(grainType, key)).AsReference<IRecordReceiver>();

    private static RecordDelivery Delivery(string key, int number, bool isRedelivered, string topic = "fault-reentrant") =>
        new(topic, Guid.Empty, Guid.Empty, 0, Encoding.UTF8.GetBytes(key), [new ConsumedItem(number, 0,
            Encoding.UTF8.GetBytes($$"""{"number":{{number}}}"""), [], isRedelivered ? 2 : 1, isRedelivered)]);

    private async Task<long> UnsettledAsync(string topic, string queue) =>
        (await _silo!.Inside.Queues.DescribeAsync(new TopicPartition(topic, 0), queue)).Unsettled;

    private async Task SendAsync(string topic, params (string Key, int Number)[] records)
    {
        await using var producer = Client.CreateProducer<string, string>();
        foreach (var (key, number) in records)
            await producer.SendAsync(new(topic, key, $$"""{"number":{{number}}}"""));
    }

    // Answers nothing for longer than a topic may be unknown, and then, once a topic, that it does not know it.
    private sealed class SlowBroker(IBroker inner) : ForwardingBroker(inner)
    {
        private static readonly TimeSpan Silence = TimeSpan.FromSeconds(2.2);

        private readonly long _began = TimeProvider.System.GetTimestamp();
        private readonly ConcurrentDictionary<string, bool> _unknown = new();

        public override ValueTask<TopicListing> GetTopicAsync(string topic, CancellationToken cancellationToken = default)
        {
            if (TimeProvider.System.GetElapsedTime(_began) < Silence)
                throw new BrokerException(ErrorCode.BrokerNotAvailable, "Not now.");
            return _unknown.TryAdd(topic, true) ? throw new BrokerException(ErrorCode.UnknownTopicOrPartition, "Not yet.")
                : base.GetTopicAsync(topic, cancellationToken);
        }
    }

    private sealed class Logged : ILoggerProvider, ILogger
    {
        public ConcurrentQueue<string> Lines { get; } = [];

        public ILogger CreateLogger(string categoryName) => this;

        public IDisposable? BeginScope<TState>(TState state) where TState : notnull => null;

        public bool IsEnabled(LogLevel logLevel) => logLevel >= LogLevel.Information;

        public void Log<TState>(LogLevel logLevel, EventId eventId, TState state, Exception? exception,
            Func<TState, Exception?, string> formatter) => Lines.Enqueue(formatter(state, exception));

        public void Dispose()
        {
        }
    }
}
