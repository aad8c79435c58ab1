using System.Buffers.Binary;
using System.Collections.Concurrent;
using System.Diagnostics;
using System.Globalization;
using System.Text;
using Microsoft.Extensions.DependencyInjection;
using Orleans.Configuration;
using Orleans.Streams;
using OrleansMq.Api;
using OrleansMq.Tests.Chaos.Faults;
using OrleansMq.Tests.Chaos.Load;
using OrleansMq.Tests.Chaos.Queues;
using OrleansMq.Tests.Chaos.Runs;
using OrleansMq.Tests.Chaos.Verification;

namespace OrleansMq.Tests.Chaos.Subscriptions;

/// <summary>Grains subscribe, resume, rewind and unsubscribe while events come and silos die. When every subscription has what came, the
/// history is judged.</summary>
internal sealed class SubscriptionRun(SubscriptionCluster cluster, int seed) : IDisposable
{
    private const int Workers = 3;
    // Of a subscriber to a stream.
    private const int MostSubscriptions = 2;
    private const int MostBack = 100;
    private static readonly TimeSpan SendPause = TimeSpan.FromMilliseconds(40);
    // Of a call to a silo that dies, which is then made again.
    private static readonly TimeSpan CallTimeout = TimeSpan.FromSeconds(8);
    private static readonly TimeSpan RetryPause = TimeSpan.FromMilliseconds(100);
    private static readonly TimeSpan LongestPause = TimeSpan.FromMilliseconds(300);
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(120);

    private static readonly string[] Kinds = ["subscribe", "resume", "rewind", "deactivate", "unsubscribe"];

    private readonly ClusterClient _client = new(cluster.Addresses, TimeSpan.FromSeconds(4));
    private readonly FaultInjector _injector = new(cluster);
    private readonly SubscriptionHistory _history = new();
    private readonly SubscriptionFiles _files = new(cluster.Events);
    private readonly ConcurrentDictionary<(int Stream, int Number), SentEvent> _sent = [];
    private readonly ConcurrentDictionary<string, int> _calls = [];
    private int _failed;

    /// <summary>Injects faults for a while, waits until each subscription has everything, and judges.</summary>
    /// <param name="weights">The relative frequency of each fault.</param>
    /// <param name="length">How long faults are injected.</param>
    /// <param name="cancellationToken">Cancels the run.</param>
    public async Task RunAsync(IReadOnlyDictionary<FaultKind, int> weights, TimeSpan length, CancellationToken cancellationToken)
    {
        await _client.Patient.CreateTopicAsync(new NewTopic(SubscriptionLoad.Topic, SubscriptionLoad.Partitions, 3,
            new Dictionary<string, string> { ["retention.until.settled"] = "true" }), cancellationToken);
        var view = new ClusterView(_client.Broker, SubscriptionLoad.Topic, 3);
        await view.WellAsync(Patience, cancellationToken);
        await using var connection = await OrleansConnection.OpenAsync(
            new OrleansAddress(cluster.Database.ConnectionString(), SubscriptionLoad.ClusterId), cancellationToken,
            static client => client.AddOrleansMqStreams(SubscriptionLoad.Provider)
                .Configure<ClientMessagingOptions>(static options => options.ResponseTimeout = CallTimeout));
        var streams = connection.Services.GetRequiredKeyedService<IStreamProvider>(SubscriptionLoad.Provider);
        var grains = connection.Services.GetRequiredService<IGrainFactory>();

        cluster.Log.Tell($"seed {seed}: load begins");
        using var stop = new CancellationTokenSource();
        var sending = Enumerable.Range(0, SubscriptionLoad.Streams).Select(stream => Task.Run(() => SendAsync(streams, stream, stop.Token)))
            .ToList();
        var known = await Task.WhenAll(Enumerable.Range(0, Workers).Select(worker => SubscribeAllAsync(grains, worker)));
        var load = Task.WhenAll([.. sending, .. known.Index()
            .Select(one => Task.Run(() => WorkAsync(grains, new Random(HashCode.Combine(seed, one.Index)), one.Item, stop.Token)))]);
        await BreakAsync(view, weights, length, load, cancellationToken);
        cluster.Log.Tell("calm");
        await EachCallAsync(load, cancellationToken);
        await stop.CancelAsync();
        await load;
        cluster.Log.Tell("every call has ended");
        await view.WellAsync(Patience, cancellationToken);
        cluster.Log.Tell($"well again, {_sent.Count} events sent");
        foreach (var (sent, times) in _sent)
            _history.Sent[sent] = times;
        await ReadAsync(cancellationToken);
        await UntilReceivedAsync(cancellationToken);
        cluster.Log.Tell("everything is observed");
        await ListAsync(grains);
        // What came meanwhile, such as to a subscription that is removed.
        _history.Events.AddRange(_files.Read());
        Tell();
        var wrong = _history.Judge();
        Assert.True(wrong.Count == 0, $"{wrong.Count} are wrong:\n{string.Join('\n', wrong.Take(20))}");
        Assert.Contains(_history.Events, static one => one.Kind == SubscriptionEventKind.Observed);
        Assert.True(await DeadLettersAsync(cancellationToken) == 0, "no event is a dead letter");
    }

    public void Dispose() => _client.Dispose();

    private async Task SendAsync(IStreamProvider provider, int stream, CancellationToken stop)
    {
        var target = provider.GetStream<int>(SubscriptionLoad.Topic, SubscriptionLoad.Key(stream));
        for (var number = 0; !stop.IsCancellationRequested; number++)
        {
            var sent = _sent[(stream, number)] = new SentEvent(Stopwatch.GetTimestamp(), null);
            await RepeatAsync(() => target.OnNextAsync(number), $"event {number} of stream {stream}");
            _sent[(stream, number)] = sent with { Acknowledged = Stopwatch.GetTimestamp() };
            await Task.Delay(SendPause, CancellationToken.None);
        }
    }

    // Each subscriber is called by one worker.
    private async Task<Dictionary<(int Subscriber, int Stream), List<Guid>>> SubscribeAllAsync(IGrainFactory grains, int worker)
    {
        var own = Enumerable.Range(0, SubscriptionLoad.Subscribers).Where(subscriber => subscriber % Workers == worker);
        var known = own.SelectMany(static subscriber => SubscriptionLoad.StreamsOf(subscriber).Select(stream => (subscriber, stream)))
            .ToDictionary(static pair => pair, static _ => new List<Guid>());
        foreach (var ((subscriber, stream), subscriptions) in known)
            await SubscribeAsync(grains.GetGrain<ISubscriber>(subscriber), stream, subscriptions);
        return known;
    }

    // A call that fails may have had its effect, which the subscriber has written.
    private async Task WorkAsync(IGrainFactory grains, Random random, Dictionary<(int Subscriber, int Stream), List<Guid>> known,
        CancellationToken stop)
    {
        while (!stop.IsCancellationRequested)
        {
            var ((subscriber, stream), subscriptions) = known.ElementAt(random.Next(known.Count));
            var grain = grains.GetGrain<ISubscriber>(subscriber);
            var drawn = subscriptions.Count == 0 ? 99 : random.Next(100);
            // One of each subscriber is there from the begin to the end.
            var kept = stream == subscriber ? 1 : 0;
            switch (drawn)
            {
                case < 35 when subscriptions.Count > kept:
                    var leaving = subscriptions[random.Next(kept, subscriptions.Count)];
                    await RepeatAsync(() => CallAsync("unsubscribe", () => grain.UnsubscribeAsync(stream, leaving)), "an unsubscribe");
                    subscriptions.Remove(leaving);
                    break;
                case < 50:
                    await TryAsync("resume", () => grain.ResumeAsync(stream, subscriptions[random.Next(subscriptions.Count)]));
                    break;
                case < 65:
                    await TryAsync("rewind", () =>
                        grain.RewindAsync(stream, subscriptions[random.Next(subscriptions.Count)], random.Next(MostBack)));
                    break;
                case < 75:
                    await TryAsync("deactivate", grain.DeactivateAsync);
                    break;
                case var _ when subscriptions.Count < MostSubscriptions:
                    await SubscribeAsync(grain, stream, subscriptions);
                    break;
            }
            await Task.Delay(random.NextDouble() * LongestPause, CancellationToken.None);
        }
    }

    private Task SubscribeAsync(ISubscriber grain, int stream, List<Guid> subscriptions) =>
        TryAsync("subscribe", async () => subscriptions.Add(await grain.SubscribeAsync(stream)));

    private async Task TryAsync(string name, Func<Task> call)
    {
        try
        {
            await CallAsync(name, call);
        }
        catch (Exception failed)
        {
            Interlocked.Increment(ref _failed);
            cluster.Log.Note($"{name} failed: {failed.GetType().Name}: {failed.Message}");
        }
    }

    private async Task CallAsync(string name, Func<Task> call)
    {
        await call();
        _calls.AddOrUpdate(name, 1, static (_, count) => count + 1);
    }

    private async Task RepeatAsync(Func<Task> call, string what)
    {
        var since = Stopwatch.StartNew();
        while (true)
        {
            try
            {
                await call();
                return;
            }
            catch (Exception failed) when (since.Elapsed < Patience)
            {
                cluster.Log.Note($"{what} is repeated: {failed.GetType().Name}: {failed.Message}");
            }
            await Task.Delay(RetryPause, CancellationToken.None);
        }
    }

    private async Task BreakAsync(ClusterView view, IReadOnlyDictionary<FaultKind, int> weights, TimeSpan length, Task load,
        CancellationToken cancellationToken)
    {
        var time = Stopwatch.StartNew();
        // Each fault comes once first, also where that takes longer.
        var random = new Random(seed);
        var first = new Queue<FaultKind>(weights.Keys.Order().OrderBy(_ => random.Next()).ToList());
        foreach (var planned in FaultPlan.From(seed, weights))
        {
            var fault = first.TryPeek(out var kind) ? planned with { Kind = kind } : planned;
            await Task.Delay(fault.Before, cancellationToken);
            if (load.IsFaulted)
                await load;
            if (time.Elapsed > length && first.Count == 0)
                return;
            if (await view.TryDescribeAsync(cancellationToken) is not { } partitions)
                continue;
            cluster.Log.Tell($"{fault}; leaders {string.Join(',', partitions.Select(static partition => partition.Leader))}, "
                + $"{_sent.Count} events sent, calls {Calls()}");
            first.TryDequeue(out _);
            await _injector.InjectAsync(fault, partitions, view.IsWell(partitions), cancellationToken);
            if (fault.WaitsForRecovery)
                await view.WellAsync(Patience, cancellationToken);
        }
    }

    // On a slow machine the faults may leave no time for each kind of call.
    private async Task EachCallAsync(Task load, CancellationToken cancellationToken)
    {
        for (var since = Stopwatch.StartNew(); Kinds.Any(kind => _calls.GetValueOrDefault(kind) == 0);)
        {
            Assert.True(since.Elapsed < Patience, $"{Patience.TotalSeconds} s after the last fault only {Calls()} have succeeded.");
            if (load.IsFaulted)
                await load;
            await Task.Delay(100, cancellationToken);
        }
    }

    private async Task ReadAsync(CancellationToken cancellationToken)
    {
        foreach (var stream in Enumerable.Range(0, SubscriptionLoad.Streams))
            _history.Log[stream] = [];
        await new TopicReader(_client.Patient, SubscriptionLoad.Topic, SubscriptionLoad.Partitions).ReadAsync((partition, record) =>
            _history.Log[int.Parse(Encoding.UTF8.GetString(record.Key!.Value.Span)["stream-".Length..], CultureInfo.InvariantCulture)]
                .Add(new StreamRecord(partition, record.Offset, BinaryPrimitives.ReadInt32BigEndian(record.Value!.Value.Span))),
            cancellationToken);
    }

    private async Task UntilReceivedAsync(CancellationToken cancellationToken)
    {
        var progress = Stopwatch.StartNew();
        while (true)
        {
            var came = _files.Read();
            _history.Events.AddRange(came);
            if (came.Count > 0)
                progress.Restart();
            var behind = _history.Behind();
            if (behind.Count == 0)
                return;
            // A replay goes on although it has nothing for a subscription; and what is wrong says more than a time that has passed.
            if (progress.Elapsed > Patience)
            {
                throw new TimeoutException($"For {Patience.TotalSeconds} s nothing came: {string.Join("; ", behind.Take(8))}\n"
                    + string.Join('\n', _history.Judge().Take(20)));
            }
            await Task.Delay(200, cancellationToken);
        }
    }

    private async Task ListAsync(IGrainFactory grains)
    {
        for (var subscriber = 0; subscriber < SubscriptionLoad.Subscribers; subscriber++)
        {
            foreach (var stream in SubscriptionLoad.StreamsOf(subscriber))
            {
                await RepeatAsync(async () => _history.Listed[(subscriber, stream)] =
                    await grains.GetGrain<ISubscriber>(subscriber).ListAsync(stream), "a list");
            }
        }
    }

    private async Task<long> DeadLettersAsync(CancellationToken cancellationToken)
    {
        var count = 0L;
        foreach (var topic in (await _client.Patient.ListTopicsAsync(cancellationToken)).Select(static topic => topic.Name)
            .Where(static topic => topic.EndsWith(".dead-letter", StringComparison.Ordinal)))
            count += (await _client.Patient.DescribeTopicAsync(topic, cancellationToken)).Partitions.Sum(static one => one.HighWatermark);
        return count;
    }

    private string Calls() => string.Join(' ', _calls.OrderBy(static call => call.Key).Select(static call => $"{call.Value} {call.Key}"));

    private void Tell()
    {
        var faults = string.Join(", ", _injector.Done.OrderBy(static kind => kind.Key).Select(static kind => $"{kind.Value} {kind.Key}"));
        var observed = _history.Events.Where(static one => one.Kind == SubscriptionEventKind.Observed).ToList();
        var first = observed.DistinctBy(static one => (one.Subscription, one.Partition, one.Offset)).Count();
        cluster.Log.Tell(string.Create(CultureInfo.InvariantCulture, $"figures: seed {seed}; {_injector.Kills} kills, {cluster.Evictions} "
            + $"evictions ({faults}); {_sent.Count} events to {SubscriptionLoad.Streams} streams; calls {Calls()}, {_failed} of unknown "
            + $"outcome; {_history.Living().Count()} subscriptions left, {first} events observed, {observed.Count - first} of them again"));
    }
}
