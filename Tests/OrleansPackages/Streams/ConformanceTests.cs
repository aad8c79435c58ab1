using System.Collections.Concurrent;
using System.Diagnostics;
using Microsoft.Extensions.DependencyInjection;
using Orleans.Serialization;
using Orleans.Streams;
using Orleans.Streams.PubSub;
using Xunit.Abstractions;

namespace OrleansMq.Tests.OrleansPackages.Streams;

/// <summary>What Orleans' contract of streams says, on streams over topics and on Orleans' own memory streams; and what a restart leaves of
/// each, and their rates.</summary>
public sealed class ConformanceTests(ITestOutputHelper output) : IAsyncLifetime
{
    private const string Memory = "memory";
    private const string Topics = "test";

    private readonly TempDirectory _data = new();
    private TestSilo _silo = null!;

    public static TheoryData<string> Providers => [Topics, Memory];

    public async Task InitializeAsync() => await StartAsync();

    public async Task DisposeAsync()
    {
        await _silo.DisposeAsync();
        _data.Dispose();
    }

    [Theory, MemberData(nameof(Providers))]
    public async Task Every_subscriber_receives_every_event_in_order(string provider)
    {
        var topic = $"conform-all-{provider}";
        var readers = new[] { Reader(provider, topic, 1), Reader(provider, topic, 2), Reader(provider, topic, 3) };
        foreach (var reader in readers)
            await reader.SubscribeAsync();
        for (var number = 0; number < 30; number++)
            await Stream(provider, topic).OnNextAsync(new Happened(number));
        await Stream(provider, topic).OnNextBatchAsync([.. Enumerable.Range(30, 30).Select(static number => new Happened(number))]);
        foreach (var reader in readers)
            await ReceivedAsync(topic, reader, Enumerable.Range(0, 60));
    }

    [Theory, MemberData(nameof(Providers))]
    public async Task Subscription_that_is_removed_receives_nothing_more(string provider)
    {
        var topic = $"conform-leave-{provider}";
        var (leaver, stayer) = (Reader(provider, topic, 1), Reader(provider, topic, 2));
        await leaver.SubscribeAsync();
        await stayer.SubscribeAsync();
        await Stream(provider, topic).OnNextAsync(new Happened(0));
        await ReceivedAsync(topic, leaver, [0]);
        await leaver.UnsubscribeAsync();
        await Stream(provider, topic).OnNextAsync(new Happened(1));
        await ReceivedAsync(topic, stayer, [0, 1]);
        Assert.Equal([0], Received(topic, leaver));
    }

    /// <summary>Also of what was sent before: only a call that is under way goes on.</summary>
    [Fact]
    public async Task Subscription_that_is_removed_receives_nothing_of_what_waits_for_it()
    {
        const string Topic = "conform-waits";
        const int Waiting = 10;
        var (leaver, stayer) = (Reader(Topics, Topic, 1), Reader(Topics, Topic, 2));
        var isLeft = false;
        var (refused, late) = (0, 0);
        StreamScript.On(Topic, (happened, grain) =>
        {
            if (grain.GetGrainId() != leaver.GetGrainId() || happened.Number == 0)
                return Task.CompletedTask;
            Interlocked.Increment(ref refused);
            if (Volatile.Read(ref isLeft))
                Interlocked.Increment(ref late);
            throw new InvalidOperationException("not now");
        });
        await leaver.SubscribeAsync();
        await stayer.SubscribeAsync();
        await Stream(Topics, Topic).OnNextAsync(new Happened(0));
        await ReceivedAsync(Topic, leaver, [0]);
        await Stream(Topics, Topic).OnNextBatchAsync([.. Enumerable.Range(1, Waiting).Select(static number => new Happened(number))]);
        await Wait.UntilAsync(() => Volatile.Read(ref refused) > 0, "the leaver has refused an event, and the others wait behind it");
        // A call of its observer is over when the grain, which is not reentrant, answers.
        await leaver.UnsubscribeAsync();
        Volatile.Write(ref isLeft, true);
        await Stream(Topics, Topic).OnNextAsync(new Happened(Waiting + 1));
        await Wait.UntilAsync(() => Received(Topic, stayer).Distinct().Count() == Waiting + 2, "the other receives every event");
        await Wait.UntilAsync(() => IsSettledAsync(Topic), "nothing waits any more");
        Assert.Equal(0, Volatile.Read(ref late));
        Assert.Equal([0], Received(Topic, leaver));
    }

    /// <summary>Orleans reads the type of a grain's text up to the first slash.</summary>
    [Fact]
    public async Task Grain_whose_type_has_a_slash_receives_what_it_subscribed_to()
    {
        const string Topic = "conform-slash";
        var reader = _silo.Client.GetGrain<ISlashedConformingGrain>($"{Topics}/{Topic}/k/1");
        await reader.SubscribeAsync();
        await Stream(Topics, Topic).OnNextAsync(new Happened(0));
        await Wait.UntilAsync(() => StreamScript.Received(Topic, "k", $"{reader.GetGrainId()}").Length == 1, "the event is received");
    }

    /// <summary>The activation handles what is in the same call as the event in which it asks for its end; another one has what comes
    /// after that.</summary>
    [Fact]
    public async Task Grain_that_asks_for_its_end_in_the_middle_of_a_call_misses_nothing()
    {
        const string Topic = "conform-middle";
        const int Together = 40;
        var ending = new ConcurrentDictionary<ActivationId, bool>();
        var (after, sent) = (0, 0);
        StreamScript.On(Topic, (happened, grain) =>
        {
            if (ending.ContainsKey(grain.GrainContext.ActivationId))
                Interlocked.Increment(ref after);
            if (happened.Number % 10 == 5)
            {
                ending[grain.GrainContext.ActivationId] = true;
                ((IGrainBase)grain).DeactivateOnIdle();
            }
            return Task.CompletedTask;
        });
        var reader = Reader(Topics, Topic, 1);
        await reader.SubscribeAsync();
        await Wait.UntilAsync(async () =>
        {
            var batch = Enumerable.Range(sent, Together).Select(static number => new Happened(number));
            await Stream(Topics, Topic).OnNextBatchAsync([.. batch]);
            sent += Together;
            await Wait.UntilAsync(() => Received(Topic, reader).Distinct().Count() == sent, $"{sent} events");
            return Volatile.Read(ref after) > 0 && ending.Count > 1;
        }, "an activation handles events after it asked for its end, and another one follows it");
        StreamAssert.IsInOrder(Received(Topic, reader));
    }

    [Theory, MemberData(nameof(Providers))]
    public async Task Grain_that_deactivates_in_the_middle_and_resumes_misses_nothing(string provider)
    {
        var topic = $"conform-deactivate-{provider}";
        StreamScript.On(topic, static (happened, grain) =>
        {
            if (happened.Number % 10 == 5)
                ((IGrainBase)grain).DeactivateOnIdle();
            return Task.CompletedTask;
        });
        var reader = Reader(provider, topic, 1);
        await reader.SubscribeAsync();
        for (var number = 0; number < 40; number++)
            await Stream(provider, topic).OnNextAsync(new Happened(number));
        await Wait.UntilAsync(() => Received(topic, reader).Distinct().Count() == 40, "every event");
        StreamAssert.IsInOrder(Received(topic, reader));
    }

    [Theory, MemberData(nameof(Providers))]
    public async Task Event_whose_observer_throws_comes_again_before_later_ones(string provider)
    {
        var topic = $"conform-throws-{provider}";
        var thrown = 0;
        StreamScript.On(topic, (happened, _) => happened.Number == 2 && Interlocked.Increment(ref thrown) <= 2
            ? throw new InvalidOperationException("not now") : Task.CompletedTask);
        var reader = Reader(provider, topic, 1);
        await reader.SubscribeAsync();
        for (var number = 0; number < 5; number++)
            await Stream(provider, topic).OnNextAsync(new Happened(number));
        await ReceivedAsync(topic, reader, Enumerable.Range(0, 5));
        Assert.Equal(3, thrown);
    }

    [Theory, MemberData(nameof(Providers))]
    public async Task Handle_in_the_JSON_of_grain_storage_resumes_and_removes_its_subscription(string provider)
    {
        var topic = $"conform-json-{provider}";
        var reader = Reader(provider, topic, 1);
        var json = await reader.SubscribeAsync();
        await reader.ResumeAsync(json);
        await Stream(provider, topic).OnNextAsync(new Happened(1));
        await ReceivedAsync(topic, reader, [1]);
        await reader.UnsubscribeAsync(json);
        Assert.Equal(0, await reader.CountAsync());
    }

    [Theory, MemberData(nameof(Providers))]
    public async Task Grain_that_another_one_subscribes_receives_until_the_subscription_is_removed(string provider)
    {
        var topic = $"conform-managed-{provider}";
        var (managed, stayer) = (Reader(provider, topic, 1), Reader(provider, topic, 2));
        await stayer.SubscribeAsync();
        Assert.True(ProviderOf(provider).TryGetStreamSubscriptionManager(out var manager));
        var stream = Stream(provider, topic).StreamId;
        var added = await manager.AddSubscription<IConformingGrain>(_silo.Client, stream, provider, managed.GetPrimaryKeyString());
        Assert.Equal((provider, stream, managed.GetGrainId()), (added.StreamProviderName, added.StreamId, added.GrainId));
        Assert.Equal(new[] { managed, stayer }.Select(static reader => reader.GetGrainId()).ToHashSet(),
            (await manager.GetSubscriptions(provider, stream)).Select(static found => found.GrainId).ToHashSet());
        for (var number = 0; number < 10; number++)
            await Stream(provider, topic).OnNextAsync(new Happened(number));
        await ReceivedAsync(topic, managed, Enumerable.Range(0, 10));
        await manager.RemoveSubscription(provider, stream, added.SubscriptionId);
        Assert.Equal(stayer.GetGrainId(), Assert.Single(await manager.GetSubscriptions(provider, stream)).GrainId);
        await Stream(provider, topic).OnNextAsync(new Happened(10));
        await ReceivedAsync(topic, stayer, Enumerable.Range(0, 11));
        Assert.Equal(10, Received(topic, managed).Length);
    }

    [Theory, MemberData(nameof(Providers))]
    public async Task Grain_with_two_subscriptions_receives_each_event_twice_and_handles_equal_their_subscription(string provider)
    {
        var topic = $"conform-twice-{provider}";
        var reader = Reader(provider, topic, 1);
        await reader.SubscribeAsync();
        await reader.SubscribeAsync();
        Assert.Equal(2, await reader.CountAsync());
        Assert.True(await reader.AreHandlesEqualAsync());
        for (var number = 0; number < 5; number++)
            await Stream(provider, topic).OnNextAsync(new Happened(number));
        await Wait.UntilAsync(() => Received(topic, reader).Length == 10, "each event twice");
        Assert.Equal(Enumerable.Range(0, 5).SelectMany(static number => new[] { number, number }), Received(topic, reader).Order());
    }

    [Theory, MemberData(nameof(Providers))]
    public async Task Observer_of_batches_receives_every_event_in_order(string provider)
    {
        var topic = $"conform-batches-{provider}";
        var reader = Reader(provider, topic, 1);
        await reader.SubscribeBatchesAsync();
        await Stream(provider, topic).OnNextBatchAsync([.. Enumerable.Range(0, 40).Select(static number => new Happened(number))]);
        await ReceivedAsync(topic, reader, Enumerable.Range(0, 40));
    }

    /// <summary>Streams over topics lose nothing. Memory streams lose every event that was not delivered, and the
    /// subscriptions.</summary>
    [Theory, MemberData(nameof(Providers))]
    public async Task Events_that_wait_when_all_silos_stop_are_delivered_by_the_next_ones(string provider)
    {
        const int Events = 100;
        var topic = $"conform-restart-{provider}";
        const int Delivered = 10;
        var isOpen = false;
        StreamScript.On(topic, (happened, _) => happened.Number < Delivered || isOpen ? Task.CompletedTask
            : throw new InvalidOperationException("away"));
        await Reader(provider, topic, 1).SubscribeAsync();
        for (var number = 0; number < Events; number++)
            await Stream(provider, topic).OnNextAsync(new Happened(number));
        await Wait.UntilAsync(() => Received(topic, Reader(provider, topic, 1)).Length >= Delivered, "the first events");
        await _silo.DisposeAsync();
        isOpen = true;
        await StartAsync();
        // What wakes a subscriber that is left.
        await Stream(provider, topic).OnNextAsync(new Happened(Events));
        if (provider == Topics)
        {
            await Wait.UntilAsync(() => Received(topic, Reader(provider, topic, 1)).Distinct().Count() == Events + 1, "every event");
            StreamAssert.IsInOrder(Received(topic, Reader(provider, topic, 1)));
        }
        else
        {
            // Another subscriber receives, so that the streams are seen to run. It gets the event before, too, where that was not read yet.
            await Reader(provider, topic, 2).SubscribeAsync();
            await Stream(provider, topic).OnNextAsync(new Happened(Events + 1));
            await Wait.UntilAsync(() => Received(topic, Reader(provider, topic, 2)).Contains(Events + 1), "the last event");
            Assert.Equal(Enumerable.Range(0, Delivered), Received(topic, Reader(provider, topic, 1)));
        }
    }

    /// <summary>Prints rates and latencies; asserts that all events come. OMQ_STREAM_EVENTS sets another number of events.</summary>
    [Theory]
    [InlineData(Topics, 1, 1)]
    [InlineData(Memory, 1, 1)]
    [InlineData(Topics, 1_000, 1)]
    [InlineData(Memory, 1_000, 1)]
    [InlineData(Topics, 0, 1)]
    [InlineData(Memory, 0, 1)]
    [InlineData(Topics, 1_000, 100)]
    [InlineData(Memory, 1_000, 100)]
    public async Task Rate_of_streams(string provider, int streams, int together)
    {
        var events = int.TryParse(Environment.GetEnvironmentVariable("OMQ_STREAM_EVENTS"), out var wanted) ? wanted : 2_000;
        // Zero is a stream for each event.
        streams = streams == 0 ? events : streams;
        var topic = $"implicit-rate-{provider}-{streams}-{together}";
        var (sent, took) = (new long[2 * events], new ConcurrentQueue<TimeSpan>());
        StreamScript.On(topic, (happened, _) =>
        {
            took.Enqueue(Stopwatch.GetElapsedTime(sent[happened.Number]));
            return Task.CompletedTask;
        });
        var all = Enumerable.Range(0, streams).Select(key => ProviderOf(provider).GetStream<Happened>(topic, $"{key}")).ToArray();
        // The topic, and the first activation.
        await all[0].OnNextAsync(new Happened(0));
        await Wait.UntilAsync(() => !took.IsEmpty, "the first event");
        took.Clear();
        var began = Stopwatch.GetTimestamp();
        await SendAsync(0, 16, _ => Task.CompletedTask);
        await UntilAllAsync();
        var seconds = Stopwatch.GetElapsedTime(began).TotalSeconds;
        var rate = events / seconds;
        // At half of that rate.
        took.Clear();
        var from = Stopwatch.GetTimestamp();
        await SendAsync(events, 16, async number =>
        {
            var due = TimeSpan.FromSeconds((number - events) / (rate / 2)) - Stopwatch.GetElapsedTime(from);
            if (due > TimeSpan.Zero)
                await Task.Delay(due);
        });
        await UntilAllAsync();
        var sorted = took.Order().ToArray();
        output.WriteLine($"{provider,-6}, {streams,6} streams, {together,3} in a call: {rate,9:n0} events/s; at half of it p50 "
            + $"{sorted[sorted.Length / 2].TotalMilliseconds:n1} ms, p99 {sorted[sorted.Length * 99 / 100].TotalMilliseconds:n1} ms");

        async Task SendAsync(int first, int senders, Func<int, Task> pace)
        {
            var next = first - together;
            await Task.WhenAll(Enumerable.Range(0, senders).Select(async _ =>
            {
                while (Interlocked.Add(ref next, together) is var number && number < first + events)
                {
                    await pace(number);
                    var batch = Enumerable.Range(number, together).Where(one => one < first + events).ToArray();
                    foreach (var one in batch)
                        sent[one] = Stopwatch.GetTimestamp();
                    await all[number / together % streams].OnNextBatchAsync(batch.Select(static one => new Happened(one)));
                }
            }));
        }

        Task UntilAllAsync() => Wait.UntilAsync(() => Task.FromResult(took.Count >= events), "all events",
            () => Task.FromResult($"{took.Count} of {events}"), TimeSpan.FromMinutes(3));
    }

    private async Task StartAsync() => _silo = await TestSilo.StartAsync(_data.Path, static silo =>
    {
        silo.AddOrleansMqStreams(Topics, static options => options with
        {
            RetryDelay = TimeSpan.FromMilliseconds(20),
            RefreshInterval = TimeSpan.FromMilliseconds(200),
        });
        silo.AddMemoryStreams(Memory).AddMemoryGrainStorage("PubSubStore");
    });

    private async Task<bool> IsSettledAsync(string topic)
    {
        for (var number = 0; number < (await _silo.Inside.GetTopicAsync(topic)).Partitions; number++)
        {
            if ((await _silo.Inside.Queues.ListAsync(new TopicPartition(topic, number))).Any(static queue => queue.Unsettled > 0))
                return false;
        }
        return true;
    }

    private IStreamProvider ProviderOf(string provider) => _silo.Services.GetRequiredKeyedService<IStreamProvider>(provider);

    private IAsyncStream<Happened> Stream(string provider, string topic) => ProviderOf(provider).GetStream<Happened>(topic, "k");

    private IConformingGrain Reader(string provider, string topic, int number) =>
        _silo.Client.GetGrain<IConformingGrain>($"{provider}/{topic}/k/{number}");

    private static int[] Received(string topic, IConformingGrain reader) =>
        StreamScript.Received(topic, "k", reader.GetGrainId().ToString());

    private static async Task ReceivedAsync(string topic, IConformingGrain reader, IEnumerable<int> expected)
    {
        var wanted = expected.ToArray();
        await Wait.UntilAsync(() => Task.FromResult(Received(topic, reader).Length >= wanted.Length), $"{wanted.Length} events",
            () => Task.FromResult(string.Join(' ', Received(topic, reader))));
        Assert.Equal(wanted, Received(topic, reader));
    }
}

public interface IConformingGrain : IConforming;

public interface ISlashedConformingGrain : IConforming;

/// <inheritdoc cref="ConformingGrain"/>
[GrainType("tests/conforming")]
public sealed class SlashedConformingGrain(OrleansJsonSerializer json) : ConformingGrainBase(json), ISlashedConformingGrain;

public interface IConforming : IGrainWithStringKey
{
    Task<string> SubscribeAsync();
    Task ResumeAsync(string json);
    Task UnsubscribeAsync(string? json = null);
    Task<int> CountAsync();
    Task SubscribeBatchesAsync();
    Task<bool> AreHandlesEqualAsync();
}

/// <summary>Subscribes to the stream that its key names, "provider/topic/key/name", and resumes when it is activated. Handles are text, as
/// in grain state.</summary>
public sealed class ConformingGrain(OrleansJsonSerializer json) : ConformingGrainBase(json), IConformingGrain;

public abstract class ConformingGrainBase(OrleansJsonSerializer json) : Grain
{
    private IAsyncStream<Happened> Stream
    {
        get
        {
            var parts = this.GetPrimaryKeyString().Split('/');
            return this.GetStreamProvider(parts[0]).GetStream<Happened>(parts[1], parts[2]);
        }
    }

    private TestObserver Observer => new(Stream.StreamId, this);

    public override async Task OnActivateAsync(CancellationToken cancellationToken)
    {
        foreach (var handle in await Stream.GetAllSubscriptionHandles())
            await handle.ResumeAsync(Observer);
    }

    public async Task<string> SubscribeAsync() =>
        json.Serialize(new KeptHandle { Handle = await Stream.SubscribeAsync(Observer) }, typeof(KeptHandle));

    public Task ResumeAsync(string kept) => Read(kept).ResumeAsync(Observer);

    public async Task UnsubscribeAsync(string? kept)
    {
        foreach (var handle in kept is null ? await Stream.GetAllSubscriptionHandles() : [Read(kept)])
            await handle.UnsubscribeAsync();
    }

    public async Task<int> CountAsync() => (await Stream.GetAllSubscriptionHandles()).Count;

    public Task SubscribeBatchesAsync() => Stream.SubscribeAsync(new TestBatchObserver(Stream.StreamId, this));

    /// <summary>Whether handles of one subscription are equal, and those of several are not.</summary>
    public async Task<bool> AreHandlesEqualAsync()
    {
        var (first, second) = (await Stream.GetAllSubscriptionHandles(), await Stream.GetAllSubscriptionHandles());
        return first.All(handle => second.Count(other => other.Equals(handle) && other.GetHashCode() == handle.GetHashCode()) == 1);
    }

    private StreamSubscriptionHandle<Happened> Read(string kept) =>
        ((KeptHandle)json.Deserialize(typeof(KeptHandle), kept)!).Handle!;
}

/// <summary>Grain state with a handle.</summary>
public sealed class KeptHandle
{
    public StreamSubscriptionHandle<Happened>? Handle { get; set; }
}
