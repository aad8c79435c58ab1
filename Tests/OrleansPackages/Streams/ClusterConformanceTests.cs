using System.Collections.Concurrent;
using Microsoft.Extensions.DependencyInjection;
using Orleans.GrainDirectory;
using Orleans.Placement;
using Orleans.Runtime.Hosting;
using Orleans.Runtime.Placement;
using Orleans.Serialization;
using Orleans.Storage;
using Orleans.Streams;
using OrleansMq.Api;
using OrleansMq.Tests.Cluster.Catalogue;
using OrleansMq.Tests.OrleansPackages.Consumers;
using OrleansMq.Tests.PostgreSql.Server;
using Xunit.Abstractions;

namespace OrleansMq.Tests.OrleansPackages.Streams;

/// <summary>What the contract of streams says, on three silos with faults, for implicit and explicit subscriptions. It is asserted of
/// streams over topics, and of Orleans' memory streams, but where a silo is killed. There it is asserted that memory streams lose what the
/// agents of that silo had taken from their queues. Subscriptions of memory streams are in a storage that has no faults.</summary>
public sealed class ClusterConformanceTests(PostgreSqlFixture postgres, ITestOutputHelper output) : ReplicatedClusterTests(postgres)
{
    private const string Memory = "memory";
    private const string Topics = "test";
    private const string Stays = "stays";
    private const string Leaves = "leaves";
    private const int Streams = 9;
    // A third of the events is sent before the fault, a half of one while it begins, the other half during it, and a third after it.
    private const int Third = 20;
    private const int Half = Third / 2;
    private const int Events = 3 * Third;

    // What memory streams have not delivered by then they have lost.
    private static readonly TimeSpan Quiet = TimeSpan.FromSeconds(5);
    private static readonly TimeSpan Longest = TimeSpan.FromMinutes(2);

    private readonly SplitDirectory _directory = new();
    private readonly ConcurrentDictionary<(GrainId Grain, ActivationId Activation), SiloAddress> _activations = [];
    // Where the events of the middle third came to each grain.
    private readonly ConcurrentDictionary<(GrainId Grain, SiloAddress Silo), bool> _middle = [];
    // The silo of the agent that has read the queue of each memory stream.
    private readonly ConcurrentDictionary<StreamId, SiloAddress> _agents = [];
    // The silo that is killed, the events of the middle third that its grains have, and its end.
    private SiloAddress? _victim;
    private int _held;
    private readonly TaskCompletionSource _killed = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private string _provider = "";
    private string _topic = "";
    private Fault _fault;

    /// <summary>What happens in the middle.</summary>
    public enum Fault
    {
        /// <summary>A silo is killed whose subscribers have events in delivery, and that leads a partition of the topic or reads memory
        /// streams.</summary>
        SiloIsKilled,
        /// <summary>Every subscriber asks for its deactivation in every tenth event.</summary>
        ActivationsEnd,
        /// <summary>Subscribers have several activations at a time.</summary>
        ActivationsAreDoubled,
        /// <summary>PostgreSQL is stopped, and started again.</summary>
        DatabaseIsAway,
    }

    private protected override void ConfigureSilo(ISiloBuilder silo)
    {
        _directory.AddTo(silo);
        silo.AddOrleansMqStreams(Topics, static options => options with
        {
            RetryDelay = TimeSpan.FromMilliseconds(50),
            MaxRetryDelay = TimeSpan.FromSeconds(1),
            RefreshInterval = TimeSpan.FromMilliseconds(200),
            SessionTimeout = TimeSpan.FromSeconds(5),
        });
        silo.AddMemoryStreams(Memory).AddIncomingGrainCallFilter(OnCallAsync);
        silo.Services.AddGrainStorage("PubSubStore",
            static (services, _) => new SharedStorage(services.GetRequiredService<IGrainStorageSerializer>()));
    }

    [SkippableTheory]
    [InlineData(Fault.SiloIsKilled, Topics)]
    [InlineData(Fault.SiloIsKilled, Memory)]
    [InlineData(Fault.ActivationsEnd, Topics)]
    [InlineData(Fault.ActivationsEnd, Memory)]
    [InlineData(Fault.ActivationsAreDoubled, Topics)]
    [InlineData(Fault.ActivationsAreDoubled, Memory)]
    [InlineData(Fault.DatabaseIsAway, Topics)]
    [InlineData(Fault.DatabaseIsAway, Memory)]
    public async Task Every_acknowledged_event_is_delivered_in_order_and_none_sent_after_an_unsubscribe(Fault fault, string provider)
    {
        (_fault, _provider) = (fault, provider);
        _topic = $"{(fault == Fault.ActivationsAreDoubled ? "doubled" : "implicit")}-conform-{fault}-{provider}".ToLowerInvariant();
        _directory.IsSplit = fault == Fault.ActivationsAreDoubled;
        await Cluster.Broker(1).CreateTopicAsync(new NewTopic(_topic, 3, 3));
        await Cluster.UntilInSyncAsync(_topic);
        StreamScript.On(_topic, OnEventAsync);
        var victim = (await Cluster.Broker(1).DescribeTopicAsync(_topic)).Partitions[0].Leader;
        var survivor = 1 + (victim % 3);
        var (stayers, leavers) = (Readers(survivor, Stays), Readers(survivor, Leaves));
        var implicits = Enumerable.Range(0, Streams).Select(key => Implicit(survivor, key)).ToList();
        _victim = fault == Fault.SiloIsKilled && provider == Topics ? Cluster.Get<ILocalSiloDetails>(victim).SiloAddress : null;
        await SubscribeAsync(stayers, survivor);
        await SubscribeAsync(leavers, survivor);
        if (provider == Topics)
            await UntilConsumedEverywhereAsync(survivor);

        await SendAsync(0, Third);
        await UntilReceivedAsync(Third, stayers.Concat(leavers).Concat(implicits), "everything before the fault is received");
        if (fault == Fault.SiloIsKilled && provider == Memory)
        {
            _victim = _agents.Values.CountBy(static silo => silo).MaxBy(static agents => agents.Value).Key;
            victim = Enumerable.Range(1, 3).Single(broker => Cluster.Get<ILocalSiloDetails>(broker).SiloAddress.Equals(_victim));
            survivor = 1 + (victim % 3);
            (stayers, leavers) = (Readers(survivor, Stays), Readers(survivor, Leaves));
        }
        List<IConforming> ended = [];
        var sending = SendAsync(Third, Half);
        if (fault == Fault.SiloIsKilled && provider == Memory)
        {
            // The agents have all of it then, and the queues nothing.
            await sending;
            await UntilReceivedAsync(Third + Half, leavers, "what was sent before the fault is received by those that nothing holds");
            ended = [.. stayers.Where((_, key) => _agents[StreamId.Create(_topic, Key(key))].Equals(_victim))];
        }
        await BeginAsync(victim);
        // The events of the first two thirds may be under way when an unsubscribe is answered.
        await Task.WhenAll(leavers.Select(LeaveAsync));
        await sending;
        if (fault == Fault.ActivationsAreDoubled && provider == Topics)
            await SendApartAsync();
        else
            await SendAsync(Third + Half, Half);
        if (fault == Fault.DatabaseIsAway && provider == Topics)
            await UntilReceivedAsync(2 * Third, stayers.Concat(implicits), "streams go on without the database");
        await EndAsync();
        await SendAsync(2 * Third, Third);

        var readers = stayers.Concat(implicits).ToList();
        if (provider == Topics)
            await UntilReceivedAsync(Events, readers, "every event is received");
        // What is on its way to those that have left would come by then.
        await UntilQuietAsync();
        var isMet = fault switch
        {
            Fault.SiloIsKilled => _held > 0,
            // Half a third is sent, and with topics received, without it.
            Fault.DatabaseIsAway => true,
            Fault.ActivationsAreDoubled => readers.All(reader => _middle.Keys.Count(pair => pair.Grain == reader.GetGrainId()) > 1),
            // The events after the first third find the activations that had it at their end.
            _ => readers.All(reader => _activations.Keys.Count(pair => pair.Grain == reader.GetGrainId()) > 1),
        };
        // Those of memory streams may be under way when the unsubscribe is answered.
        var late = leavers.Sum(leaver => Received(leaver).Count(number => number >= (provider == Topics ? Third + Half : 2 * Third)));
        if (provider == Topics)
        {
            Assert.True(isMet, "the fault has met subscribers");
            Assert.All(readers, reader => StreamAssert.IsInOrder(Received(reader)));
            Assert.All(leavers, leaver => StreamAssert.IsInOrder(Received(leaver)));
            Assert.Equal(0, late);
            await Cluster.DemandEmptyAsync(survivor, $"{_topic}.dead-letter");
        }
        else if (fault == Fault.SiloIsKilled)
        {
            Assert.True(isMet, "the fault has met subscribers");
            Assert.NotEmpty(ended);
            // The first of them was in delivery.
            Assert.All(ended, reader => Assert.NotEmpty(Enumerable.Range(Third + 1, Half - 1).Except(Received(reader))));
        }
        else
        {
            Assert.All(readers, reader => Assert.Equal(Enumerable.Range(0, Events), Received(reader).Distinct()));
            Assert.Equal(0, late);
        }
        output.WriteLine($"figures: streams, {fault}, {provider}: of {readers.Count * Events:N0} deliveries of acknowledged events "
            + $"{readers.Sum(reader => Events - Received(reader).Distinct().Count()):N0} missing, "
            + $"{readers.Sum(reader => Received(reader).Length - Received(reader).Distinct().Count()):N0} again, "
            + $"{readers.Count(reader => !IsInOrder(Received(reader)))} of {readers.Count} subscriptions not in order, "
            + $"{late:N0} after an unsubscribe{(isMet ? "" : "; the fault has met no subscriber")}");

        Task SendAsync(int first, int count) => Task.WhenAll(Enumerable.Range(0, Streams).Select(async key =>
        {
            for (var number = first; number < first + count; number++)
                await SendOneAsync(key, number);
        }));

        // A cursor hands events that come alone to the silos in turn, and each of them has an activation of its own. An event is alone
        // when those before it are settled: what was received may not be. A silo without a session has no turn until it is back.
        async Task SendApartAsync()
        {
            await UntilServedByAllAsync(survivor);
            for (var key = 0; key < Streams; key++)
            {
                for (var number = Third + Half; number < 2 * Third; number++)
                {
                    await SendOneAsync(key, number);
                    await UntilReceivedAsync(number + 1, [stayers[key], implicits[key]], "an event alone is received");
                    await UntilServedByAllAsync(survivor);
                }
            }
        }

        Task SendOneAsync(int key, int number) => StreamCalls.RepeatAsync(() => Cluster.Get<IServiceProvider>(survivor)
            .GetRequiredKeyedService<IStreamProvider>(_provider).GetStream<Happened>(_topic, Key(key)).OnNextAsync(new Happened(number)),
            $"event {number} of stream {key}");
    }

    // A third of the readers is on each silo.
    private async Task SubscribeAsync(List<IConforming> readers, int survivor)
    {
        foreach (var (key, reader) in readers.Index())
        {
            RequestContext.Set(IPlacementDirector.PlacementHintKey, Cluster.Get<ILocalSiloDetails>(1 + (key % 3)).SiloAddress);
            await reader.SubscribeAsync();
        }
        RequestContext.Remove(IPlacementDirector.PlacementHintKey);
    }

    // The dispatchers of all silos receive from all cursors of the topic.
    private Task UntilConsumedEverywhereAsync(int broker) =>
        UntilQueuesAsync(broker, static queue => queue.Consumers == 3, "every silo consumes the cursors of the topic");

    // Every event is settled, and no subscription has a cursor of its own.
    private Task UntilServedByAllAsync(int broker) => UntilQueuesAsync(broker, static queue => queue is { Consumers: 3, Unsettled: 0 },
        "every event is settled, by cursors that every silo consumes");

    private Task UntilQueuesAsync(int broker, Predicate<QueueDescription> condition, string what)
    {
        IReadOnlyList<QueueDescription> last = [];
        return Wait.UntilAsync(async () =>
        {
            for (var partition = 0; partition < 3; partition++)
            {
                last = [.. (await Cluster.Broker(broker).Queues.ListAsync(new TopicPartition(_topic, partition)))
                    .Where(static queue => queue.Name.StartsWith($"streams:{Topics}", StringComparison.Ordinal))];
                if (last.Count != 2 || !last.All(queue => condition(queue)))
                    return false;
            }
            return true;
        }, what, () => Task.FromResult(string.Join('\n', last)), Longest);
    }

    private Task OnEventAsync(Happened happened, Grain grain)
    {
        var silo = grain.GrainContext.Address.SiloAddress!;
        _activations[(grain.GetGrainId(), grain.GrainContext.ActivationId)] = silo;
        if (happened.Number is >= Third and < 2 * Third)
            _middle[(grain.GetGrainId(), silo)] = true;
        if (_fault == Fault.ActivationsEnd && happened.Number % 10 == 5)
            ((IGrainBase)grain).DeactivateOnIdle();
        if (_fault == Fault.SiloIsKilled && happened.Number is >= Third and < 2 * Third)
        {
            // Those of memory streams that leave show what the agents have. They have it for all subscribers of a stream.
            var isOnVictim = silo.Equals(_victim);
            var isHeld = isOnVictim && _provider == Topics || grain.GetPrimaryKeyString().EndsWith($"/{Stays}", StringComparison.Ordinal);
            if (isOnVictim && isHeld)
                Interlocked.Increment(ref _held);
            if (isHeld)
                return _killed.Task;
        }
        // Some are in delivery at any time.
        return happened.Number % 3 == 0 ? Task.Delay(20) : Task.CompletedTask;
    }

    // Memory streams are delivered by their agents.
    private async Task OnCallAsync(IIncomingGrainCallContext call)
    {
        if (call.SourceId is { } source && SystemTargetGrainId.TryParse(source, out var agent)
            && Enumerable.Range(0, call.Request.GetArgumentCount()).Select(call.Request.GetArgument).OfType<QualifiedStreamId>()
                .FirstOrDefault() is { ProviderName: Memory } stream)
        {
            // A process that is killed calls no more. This silo's host takes its time to end.
            if (_killed.Task.IsCompleted && agent.GetSiloAddress().Equals(_victim))
                throw new InvalidOperationException("The caller is dead.");
            _agents[stream] = agent.GetSiloAddress();
        }
        await call.Invoke();
    }

    private Task BeginAsync(int victim) => _fault switch
    {
        Fault.SiloIsKilled => KillAsync(victim),
        Fault.DatabaseIsAway => Postgres.Server.StopAsync(),
        _ => Task.CompletedTask,
    };

    // Its subscribers, and those that stay, have events until the others have declared it dead.
    private async Task KillAsync(int victim)
    {
        try
        {
            await Wait.UntilAsync(() => Task.FromResult(Volatile.Read(ref _held) > 0), "subscribers on the silo have events");
            await Cluster.KillAsync(victim);
        }
        finally
        {
            _killed.SetResult();
        }
    }

    private async Task EndAsync()
    {
        _directory.IsSplit = false;
        if (_fault == Fault.DatabaseIsAway)
            await Postgres.Server.StartAsync();
    }

    private protected override async Task BeforeStopAsync()
    {
        if (!Postgres.Server.IsRunning)
            await Postgres.Server.StartAsync();
    }

    private List<IConforming> Readers(int broker, string name) => [.. Enumerable.Range(0, Streams).Select<int, IConforming>(key =>
    {
        var grain = $"{_provider}/{_topic}/{Key(key)}/{name}";
        return _fault == Fault.ActivationsAreDoubled ? Cluster.Get<IGrainFactory>(broker).GetGrain<IDoubledConformingGrain>(grain)
            : Cluster.Get<IGrainFactory>(broker).GetGrain<IConformingGrain>(grain);
    })];

    private IGrainWithStringKey Implicit(int broker, int key) => _fault == Fault.ActivationsAreDoubled
        ? Cluster.Get<IGrainFactory>(broker).GetGrain<IDoubledImplicitGrain>(Key(key))
        : Cluster.Get<IGrainFactory>(broker).GetGrain<IImplicitGrain>(Key(key));

    // Grains of the two providers are different ones.
    private string Key(int key) => $"{_provider}-{key}";

    private int[] Received(IGrainWithStringKey reader)
    {
        var parts = reader.GetPrimaryKeyString().Split('/');
        return StreamScript.Received(_topic, parts.Length > 1 ? parts[2] : parts[0], reader.GetGrainId().ToString());
    }

    private static Task LeaveAsync(IConforming leaver) => StreamCalls.RepeatAsync(() => leaver.UnsubscribeAsync(), "the unsubscribe");

    private Task UntilReceivedAsync(int count, IEnumerable<IGrainWithStringKey> readers, string what)
    {
        var all = readers.ToList();
        return Wait.UntilAsync(() => Task.FromResult(all.All(reader => Received(reader).Distinct().Count() >= count)), what,
            () => Task.FromResult(string.Join('\n', all.Select(reader => $"{reader.GetGrainId()} misses "
                + string.Join(' ', Enumerable.Range(0, count).Except(Received(reader)))))), Longest);
    }

    private async Task UntilQuietAsync()
    {
        for (var (last, since) = (-1, DateTime.UtcNow); DateTime.UtcNow - since < Quiet; await Task.Delay(100))
        {
            if (StreamScript.Count(_topic) is var count && count != last)
                (last, since) = (count, DateTime.UtcNow);
        }
    }

    private static bool IsInOrder(IReadOnlyList<int> numbers)
    {
        // What is lost is counted, not called out of order.
        var first = numbers.Distinct().ToList();
        return first.SequenceEqual(first.Order());
    }
}

public interface IDoubledConformingGrain : IConforming;

/// <summary>Is in the directory that can be split. While it is, each silo that calls has an activation.</summary>
[GrainDirectory(SplitDirectory.Name), PreferLocalPlacement]
public sealed class DoubledConformingGrain(OrleansJsonSerializer json) : ConformingGrainBase(json), IDoubledConformingGrain;

public interface IDoubledImplicitGrain : IGrainWithStringKey;

/// <summary>Is in the directory that can be split. While it is, each silo that calls has an activation.</summary>
[GrainDirectory(SplitDirectory.Name), PreferLocalPlacement, RegexImplicitStreamSubscription("^doubled-")]
public sealed class DoubledImplicitGrain : ImplicitGrainBase, IDoubledImplicitGrain;
