using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Options;
using Orleans.Configuration;
using Orleans.Streams;
using OrleansMq.Api;
using OrleansMq.Client;
using OrleansMq.Consumers;
using OrleansMq.Partitions;

namespace OrleansMq.Streams;

/// <summary>Delivers the events of a provider on a silo, while the silo is active: consumes the cursors of every grain class that
/// subscribes by its attribute, and of every topic with explicit subscriptions.</summary>
internal sealed partial class StreamDispatcher(string name, IServiceProvider services, ILogger<StreamDispatcher> logger)
    : ILifecycleParticipant<ISiloLifecycle>
{
    /// <summary>The stage of a silo at which it starts, after the broker serves, and stops, before its partitions are handed
    /// over.</summary>
    internal const int Stage = ServiceLifecycleStage.Active + 1;

    // What has not ended by then goes back with the silo's sessions. A silent partition takes no more of the silo's own time to stop.
    private static readonly TimeSpan StopTimeout = TimeSpan.FromSeconds(5);
    private static readonly TimeSpan ReplicasInterval = TimeSpan.FromMinutes(10);

    private readonly Dictionary<(string Topic, GrainType? GrainType), CursorDispatcher> _dispatchers = [];
    private readonly CancellationTokenSource _stopping = new();
    private readonly List<Task> _ending = [];
    private long? _warned;
    private long? _swept;
    private bool _isSweepReported;
    private Task _sweeping = Task.CompletedTask;
    private long? _searched;
    private Task<IReadOnlySet<string>> _searching = Task.FromResult<IReadOnlySet<string>>(new HashSet<string>());
    private StreamReplays? _replays;
    private Task _refreshing = Task.CompletedTask;

    /// <inheritdoc/>
    public void Participate(ISiloLifecycle lifecycle) =>
        lifecycle.Subscribe($"{nameof(StreamDispatcher)} {name}", Stage, StartAsync, StopAsync);

    private async Task StartAsync(CancellationToken cancellationToken)
    {
        var provider = (OrleansMqStreamProvider)services.GetRequiredKeyedService<IStreamProvider>(name);
        try
        {
            await provider.Subscriptions.CheckAsync(cancellationToken).WaitAsync(provider.Options.CheckTimeout, cancellationToken);
        }
        catch (BrokerException refused) when (refused.Code == ErrorCode.InvalidConfig)
        {
            throw new OrleansConfigurationException($"Stream provider '{name}' cannot start: {refused.Message}", refused);
        }
        catch (Exception unknown) when (unknown is OrleansMqException or TimeoutException)
        {
            // It is looked at again before it is read.
        }
        _refreshing = Task.Run(RefreshAsync, CancellationToken.None);
    }

    private async Task StopAsync(CancellationToken deadline)
    {
        await _stopping.CancelAsync();
        var ending = EndAsync();
        await ending.WaitAsync(StopTimeout, deadline).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        if (!ending.IsCompleted)
            LogNotEnded(name);
    }

    private async Task EndAsync()
    {
        await _refreshing.ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        await Task.WhenAll([.. _dispatchers.Values.Select(static dispatcher => dispatcher.DisposeAsync().AsTask()), .. _ending,
            _searching, _sweeping, _replays?.StoppedAsync() ?? Task.CompletedTask]);
    }

    private async Task RefreshAsync()
    {
        var provider = (OrleansMqStreamProvider)services.GetRequiredKeyedService<IStreamProvider>(name);
        var client = services.GetRequiredService<OrleansMqClient>();
        var grains = services.GetRequiredService<IGrainFactory>();
        var caller = new GrainCaller(grains,
            new GrainClasses(services.GetRequiredService<IClusterManifestProvider>(), TimeProvider.System),
            provider.Options.MissingClassTimeout,
            services.GetRequiredService<IOptions<SiloMessagingOptions>>().Value.MaxMessageBodySize,
            new LostCalls(grains, provider.Options.AskInterval, TimeProvider.System), logger);
        var splits = new StreamSplits(provider, client, logger);
        _replays = new StreamReplays(provider, client, caller, splits, logger, services.GetService<ILocalPartitions>());
        var hasFailed = false;
        while (!_stopping.IsCancellationRequested)
        {
            try
            {
                await RefreshOnceAsync(provider, client, caller, splits);
                hasFailed = false;
            }
            catch (Exception) when (_stopping.IsCancellationRequested)
            {
                return;
            }
            catch (Exception failure)
            {
                // Whatever it is, the next round may find it mended; without one nothing new would be delivered.
                if (!hasFailed)
                    LogRetry(name, failure);
                hasFailed = true;
            }
            await PauseAsync(provider).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        }
    }

    // Replays that begin meanwhile do not wait for the next round: the silo that writes one sees it at once, and others as soon as they
    // look at the table for an event.
    private async Task PauseAsync(OrleansMqStreamProvider provider)
    {
        var began = TimeProvider.System.GetTimestamp();
        while (provider.Options.RefreshInterval - TimeProvider.System.GetElapsedTime(began) is var left && left > TimeSpan.Zero
            && await provider.Subscriptions.WaitForReplayAsync(left, _stopping.Token).ConfigureAwait(false))
            _replays!.Refresh(topics: null, _stopping.Token);
    }

    private async Task RefreshOnceAsync(OrleansMqStreamProvider provider, OrleansMqClient client, GrainCaller caller, StreamSplits splits)
    {
        var implicits = services.GetRequiredService<ImplicitSubscriptions>();
        var all = await client.Broker.ListTopicsAsync(_stopping.Token);
        var listed = all.ToDictionary(static topic => topic.Name, static topic => topic.TopicId, StringComparer.Ordinal);
        var topics = listed.Keys;
        var wanted = new HashSet<(string Topic, GrainType? GrainType)>();
        foreach (var topic in topics.Where(provider.Topics.IsForImplicit))
        {
            foreach (var subscriber in implicits.All.Where(subscriber => implicits.Covers(subscriber, topic)))
            {
                if (wanted.Add((topic, subscriber.GrainType)))
                {
                    Start((topic, subscriber.GrainType), provider.Topics.QueueOf(subscriber.GrainType),
                        () => new ImplicitDeliveries(provider, subscriber, caller));
                }
            }
        }
        foreach (var topic in topics.Where(topic => _dispatchers.ContainsKey((topic, null))))
            wanted.Add((topic, null));
        // A class or topic that is gone.
        foreach (var gone in _dispatchers.Keys.Except(wanted).ToList())
        {
            _dispatchers.Remove(gone, out var dispatcher);
            // A partition that does not answer holds back neither the others nor this round.
            _ending.Add(dispatcher!.DisposeAsync().AsTask());
        }
        _ending.RemoveAll(static ending => ending.IsCompleted);
        // Where subscriptions cannot be read, implicit ones go on. The next round sees a topic that is not listed yet.
        if (provider.Subscriptions.IsRead || listed.ContainsKey(provider.Subscriptions.Topic))
            await provider.Subscriptions.CatchUpAsync(_stopping.Token);
        foreach (var topic in provider.Subscriptions.Table.Topics.Union(FindLeft(provider)).Where(listed.ContainsKey))
            Start((topic, null), provider.Topics.ExplicitQueue, () => new ExplicitDeliveries(provider, caller, splits));

        if (provider.Subscriptions.IsRead)
            _replays!.Refresh(listed, _stopping.Token);

        foreach (var dispatcher in _dispatchers.Values)
            dispatcher.KeepOptions(listed);

        if (provider.Subscriptions.IsRead)
        {
            await WarnOfReplicasAsync(provider.Subscriptions);
            if (_searching.IsCompleted && (_searched is not { } last || TimeProvider.System.GetElapsedTime(last) >= provider.SweepInterval))
            {
                _searched = TimeProvider.System.GetTimestamp();
                _searching = _replays!.FindTopicsAsync(Partitions(all.Where(topic => provider.Topics.IsOwn(topic.Name)
                    && !_dispatchers.ContainsKey((topic.Name, null)))), _stopping.Token);
            }
            // Beside the rounds, too: it writes as much as replays have left. One at a time: the next one begins when it has ended.
            if (_sweeping.IsCompleted && (_swept is not { } swept || TimeProvider.System.GetElapsedTime(swept) >= provider.SweepInterval))
                _sweeping = SweepAsync(provider, Partitions(all.Where(topic => _dispatchers.ContainsKey((topic.Name, null)))));
        }

        void Start((string Topic, GrainType? GrainType) key, string queue, Func<IDeliveries> deliveries)
        {
            if (!_dispatchers.ContainsKey(key))
            {
                _dispatchers[key] = new CursorDispatcher(client, provider.Topics, provider.Options.Delivery, key.Topic, queue, deliveries(),
                    priorityOf: null, logger);
            }
        }
    }

    // Cursors that stay when the last subscription of a topic is gone keep its events until they are served: passed over, without
    // subscriptions. They are looked for beside the rounds, which no partition that does not answer holds back.
    private IEnumerable<string> FindLeft(OrleansMqStreamProvider provider) =>
        provider.Subscriptions.IsRead && _searching.IsCompletedSuccessfully ? _searching.Result : [];

    private static List<(string Name, int Partitions)> Partitions(IEnumerable<TopicListing> topics) =>
        [.. topics.Select(static topic => (topic.Name, topic.Partitions))];

    // One that fails is tried again in the next round.
    private async Task SweepAsync(OrleansMqStreamProvider provider, List<(string Name, int Partitions)> topics)
    {
        try
        {
            await Task.Run(() => _replays!.SweepAsync(topics, provider.SweepInterval, _stopping.Token), _stopping.Token);
            (_swept, _isSweepReported) = (TimeProvider.System.GetTimestamp(), false);
        }
        catch (Exception) when (_stopping.IsCancellationRequested)
        {
            // The silo stops.
        }
        catch (Exception failure)
        {
            if (!_isSweepReported)
                LogNotSwept(name, failure);
            _isSweepReported = true;
        }
    }

    private async Task WarnOfReplicasAsync(SubscriptionLog subscriptions)
    {
        if (_warned is { } last && TimeProvider.System.GetElapsedTime(last) < ReplicasInterval)
            return;
        var missing = await subscriptions.FindMissingReplicasAsync(_stopping.Token);
        _warned = TimeProvider.System.GetTimestamp();
        if (missing is var (replicas, wanted))
            LogReplicas(subscriptions.Topic, replicas, name, subscriptions.Topic, wanted);
    }

    [LoggerMessage(1, LogLevel.Warning, "Stream provider {Name} cannot look for topics and subscriptions now; retrying.")]
    private partial void LogRetry(string name, Exception reason);

    [LoggerMessage(4, LogLevel.Warning, "Stream provider {Name} has not settled all events by the time that its stop may take: they are "
        + "delivered again when the silo's sessions have ended.")]
    private partial void LogNotEnded(string name);

    [LoggerMessage(5, LogLevel.Warning, "Stream provider {Name} cannot remove what replays have left now; retrying.")]
    private partial void LogNotSwept(string name, Exception reason);

    [LoggerMessage(3, LogLevel.Warning, "Topic {Topic} has {Replicas} replica(s), and is lost with them. It holds the explicit "
        + "subscriptions of stream provider {Name}. Add replicas: omq partition reassign {SameTopic} 0 --replicas {Wanted}")]
    private partial void LogReplicas(string topic, int replicas, string name, string sameTopic, string wanted);
}
