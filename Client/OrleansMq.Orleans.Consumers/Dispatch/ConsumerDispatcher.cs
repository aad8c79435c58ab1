using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Options;
using Orleans.Configuration;
using OrleansMq.Api;
using OrleansMq.Client;
using OrleansMq.Partitions;

namespace OrleansMq.Consumers;

/// <summary>Delivers the topics that a silo's grain classes consume, while the silo is active.</summary>
/// <param name="classes">The classes.</param>
/// <param name="options">The options.</param>
/// <param name="client">The broker.</param>
/// <param name="grains">The grains.</param>
/// <param name="manifests">The grain classes of the cluster.</param>
/// <param name="loggers">Takes warnings.</param>
/// <param name="local">The partitions that this silo leads; null: it is no broker.</param>
/// <param name="messaging">The bounds of calls between silos; null: Orleans' defaults.</param>
internal sealed partial class ConsumerDispatcher(ConsumerClasses classes, OrleansMqConsumerOptions options, OrleansMqClient client,
    IGrainFactory grains, IClusterManifestProvider manifests, ILoggerFactory loggers, ILocalPartitions? local = null,
    IOptions<SiloMessagingOptions>? messaging = null)
    : ILifecycleParticipant<ISiloLifecycle>
{
    // Starts after the broker of the silo serves; stops before its partitions are handed over.
    private const int Stage = ServiceLifecycleStage.Active + 1;

    // What has not ended by then goes back with the silo's sessions.
    private static readonly TimeSpan StopTimeout = TimeSpan.FromSeconds(5);
    private static readonly TimeSpan Pause = TimeSpan.FromMilliseconds(200);
    // A topic that was just created may not be known to every broker yet.
    private static readonly TimeSpan UnknownFor = TimeSpan.FromSeconds(2);
    // A silo with the class delivers; it is gone from the manifest for no longer than the silo takes to stop.
    private static readonly TimeSpan MissingClassTimeout = TimeSpan.FromDays(1);

    private readonly ILogger _logger = loggers.CreateLogger("OrleansMq.Consumers");
    private readonly CancellationTokenSource _stopping = new();
    private readonly Dictionary<ConsumerClass, CursorDispatcher> _running = [];
    private Task _refreshing = Task.CompletedTask;

    /// <summary>Is cancelled when the silo begins to stop.</summary>
    public CancellationToken Stopping => _stopping.Token;

    /// <inheritdoc/>
    public void Participate(ISiloLifecycle lifecycle) => lifecycle.Subscribe(nameof(ConsumerDispatcher), Stage, StartAsync, StopAsync);

    private async Task StartAsync(CancellationToken cancellationToken)
    {
        var began = TimeProvider.System.GetTimestamp();
        foreach (var without in classes.WithoutTopic)
            LogWithoutTopic(without);
        var caller = new GrainCaller(grains, new GrainClasses(manifests, TimeProvider.System), MissingClassTimeout,
            (messaging?.Value ?? new SiloMessagingOptions()).MaxMessageBodySize,
            new LostCalls(grains, options.AskInterval, TimeProvider.System), _logger);
        var sources = new CursorSources(client);
        var later = new List<ConsumerClass>();
        foreach (var (consumer, isThere) in await Task.WhenAll(classes.All.Select(async consumer =>
            (consumer, await IsThereAsync(consumer, began, cancellationToken)))))
        {
            if (isThere)
                Start(consumer, sources, caller);
            else
                later.Add(consumer);
        }
        _refreshing = Task.Run(() => RefreshAsync(later, sources, caller), CancellationToken.None);
    }

    private void Start(ConsumerClass consumer, CursorSources sources, GrainCaller caller)
    {
        Func<TopicPartition, int>? priorityOf = options.PreferLeader && local is not null ? PriorityOf : null;
        _running[consumer] = new CursorDispatcher(client, new CursorTopics(client, consumer.Delivery), consumer.Delivery, consumer.Topic,
            consumer.Queue, new ConsumerDeliveries(consumer, sources, caller), priorityOf, _logger);
    }

    // The leader's silo comes first: the grain, which is activated there, and the record are then on one silo.
    private int PriorityOf(TopicPartition partition) => local!.TryGet(partition, out _) ? 1 : 0;

    /// <summary>Whether the topic of a class exists. Waits for brokers that do not answer.</summary>
    /// <exception cref="OrleansConfigurationException">It does not exist, or can have no queue.</exception>
    private async Task<bool> IsThereAsync(ConsumerClass consumer, long began, CancellationToken cancellationToken)
    {
        long? unknownSince = null;
        while (true)
        {
            try
            {
                await PrepareAsync(consumer, cancellationToken).ConfigureAwait(false);
                return true;
            }
            catch (BrokerException unknown) when (unknown.Code == ErrorCode.UnknownTopicOrPartition
                && options.MissingTopic == MissingTopic.Wait)
            {
                LogWaiting(consumer.Class, consumer.Topic);
                return false;
            }
            catch (BrokerException unknown) when (unknown.Code == ErrorCode.UnknownTopicOrPartition
                && options.MissingTopic == MissingTopic.Fail)
            {
                unknownSince ??= TimeProvider.System.GetTimestamp();
                if (TimeProvider.System.GetElapsedTime(unknownSince.Value) >= UnknownFor)
                {
                    throw new OrleansConfigurationException($"Grain class {consumer.Class.FullName} consumes topic '{consumer.Topic}', "
                        + $"which does not exist. Set {nameof(OrleansMqConsumerOptions)}.{nameof(OrleansMqConsumerOptions.MissingTopic)} "
                        + $"to {nameof(MissingTopic.Wait)} to start without it, or to {nameof(MissingTopic.Create)}; or create it before, "
                        + $"as with 'omq topic create {consumer.Topic}'.", unknown);
                }
            }
            catch (BrokerException refused) when (refused.Code != ErrorCode.UnknownTopicOrPartition
                && refused.Code.Action() != ErrorAction.Retry)
            {
                throw new OrleansConfigurationException($"Grain class {consumer.Class.FullName} cannot consume topic '{consumer.Topic}': "
                    + refused.Message, refused);
            }
            catch (BrokerException unavailable)
            {
                // Of a broker that does not answer, nothing is known. One may not know yet what was created.
                unknownSince = null;
                if (TimeProvider.System.GetElapsedTime(began) >= options.StartTimeout)
                {
                    LogUnavailable(consumer.Class, consumer.Topic, unavailable);
                    return false;
                }
            }
            await Task.Delay(Pause, cancellationToken).ConfigureAwait(false);
        }
    }

    // The queues of all partitions exist then, but for partitions that have as many queues as they may: the consumer goes on trying those,
    // and warns. A topic that can have none is refused.
    private async Task PrepareAsync(ConsumerClass consumer, CancellationToken cancellationToken)
    {
        var topics = new CursorTopics(client, consumer.Delivery);
        await topics.EnsureAsync(consumer.Topic, cancellationToken).ConfigureAwait(false);
        var queue = await topics.QueueOptionsAsync(consumer.Topic, cancellationToken).ConfigureAwait(false);
        var partitions = (await client.Broker.GetTopicAsync(consumer.Topic, cancellationToken).ConfigureAwait(false)).Partitions;
        var creating = Enumerable.Range(0, partitions).Select(Task (partition) => client.Broker.Queues.CreateAsync(
            new TopicPartition(consumer.Topic, partition), new NewQueue(consumer.Queue) { Options = queue }, cancellationToken).AsTask())
            .ToList();
        await Task.WhenAll(creating).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        if (!creating.Any(static created => created.IsCompletedSuccessfully) || !creating.All(HasQueueOrNoRoom))
            await Task.WhenAll(creating).ConfigureAwait(false);
    }

    private static bool HasQueueOrNoRoom(Task created) => created.IsCompletedSuccessfully
        || created.Exception?.InnerException is BrokerException { Code: ErrorCode.PolicyViolation };

    private async Task StopAsync(CancellationToken deadline)
    {
        await _stopping.CancelAsync();
        var ending = EndAsync();
        await ending.WaitAsync(StopTimeout, deadline).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        if (!ending.IsCompleted)
            LogNotEnded();
    }

    private async Task EndAsync()
    {
        await _refreshing.ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        await Task.WhenAll([.. _running.Values.Select(static running => running.DisposeAsync().AsTask())]);
    }

    // Topics that did not exist, and dead-letter topics that are deleted.
    private async Task RefreshAsync(List<ConsumerClass> later, CursorSources sources, GrainCaller caller)
    {
        var hasFailed = false;
        while (!_stopping.IsCancellationRequested)
        {
            await Task.Delay(options.RefreshInterval, _stopping.Token).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
            try
            {
                await RefreshOnceAsync(later, sources, caller).ConfigureAwait(false);
                hasFailed = false;
            }
            catch (Exception) when (_stopping.IsCancellationRequested)
            {
                return;
            }
            catch (Exception failure)
            {
                // Whatever it is, the next round may find it mended.
                if (!hasFailed)
                    LogRetry(failure);
                hasFailed = true;
            }
        }
    }

    private async Task RefreshOnceAsync(List<ConsumerClass> later, CursorSources sources, GrainCaller caller)
    {
        var listed = (await client.Broker.ListTopicsAsync(_stopping.Token).ConfigureAwait(false))
            .ToDictionary(static topic => topic.Name, static topic => topic.TopicId, StringComparer.Ordinal);
        foreach (var consumer in later.Where(consumer => listed.ContainsKey(consumer.Topic)).ToList())
        {
            later.Remove(consumer);
            Start(consumer, sources, caller);
        }
        foreach (var (consumer, dispatcher) in _running.Where(running => listed.ContainsKey(running.Key.Topic)))
            dispatcher.KeepOptions(listed);
    }

    [LoggerMessage(1, LogLevel.Warning, "Grain class {Class} consumes topic {Topic}, which does not exist. It is consumed when it does.")]
    private partial void LogWaiting(Type @class, string topic);

    [LoggerMessage(2, LogLevel.Warning, "Grain class {Class} consumes topic {Topic}, whose brokers do not answer. The silo starts without "
        + "it, and consumes it when they do. At least one silo of the cluster must be a broker: AddOrleansMq().")]
    private partial void LogUnavailable(Type @class, string topic, Exception reason);

    [LoggerMessage(4, LogLevel.Warning, "The topics of grain consumers cannot be looked for now; retrying.")]
    private partial void LogRetry(Exception reason);

    [LoggerMessage(6, LogLevel.Warning, "Grain class {Class} implements IGrainConsumer and consumes nothing: it has no "
        + "OrleansMq.Consumers.ConsumesAttribute. One of Microsoft.AspNetCore.Mvc has the same name.")]
    private partial void LogWithoutTopic(Type @class);

    [LoggerMessage(5, LogLevel.Warning, "Grain consumers have not settled all records by the time that their stop may take: they are "
        + "delivered again when the silo's sessions have ended.")]
    private partial void LogNotEnded();
}
