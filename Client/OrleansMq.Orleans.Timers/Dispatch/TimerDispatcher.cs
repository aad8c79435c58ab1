using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Options;
using Orleans.Configuration;
using OrleansMq.Client;
using OrleansMq.Consumers;
using OrleansMq.Partitions;

namespace OrleansMq.Timers;

/// <summary>Delivers timers that are due, while the silo is active. Every silo with timers has one; they share the topic's queue.</summary>
/// <param name="options">The options.</param>
/// <param name="client">The broker.</param>
/// <param name="grains">The grains.</param>
/// <param name="manifests">The grain classes of the cluster.</param>
/// <param name="catalog">What the classes of the cluster handle.</param>
/// <param name="logger">Takes warnings.</param>
/// <param name="local">The partitions that this silo leads; null: it is no broker.</param>
/// <param name="messaging">The bounds of calls between silos; null: Orleans' defaults.</param>
internal sealed partial class TimerDispatcher(OrleansMqTimerOptions options, OrleansMqClient client, IGrainFactory grains,
    IClusterManifestProvider manifests, TimerCatalog catalog, ILogger<TimerDispatcher> logger,
    ILocalPartitions? local = null, IOptions<SiloMessagingOptions>? messaging = null)
    : ILifecycleParticipant<ISiloLifecycle>
{
    /// <summary>The queue of the timers' topic.</summary>
    public const string Queue = "timers";

    // Starts after the broker of the silo serves; stops before its partitions are handed over.
    private const int Stage = ServiceLifecycleStage.Active + 1;

    // What has not ended by then goes back with the silo's sessions.
    private static readonly TimeSpan StopTimeout = TimeSpan.FromSeconds(5);

    private readonly CancellationTokenSource _stopping = new();
    private Task _running = Task.CompletedTask;

    /// <summary>Is cancelled when the silo begins to stop.</summary>
    public CancellationToken Stopping => _stopping.Token;

    /// <inheritdoc/>
    public void Participate(ISiloLifecycle lifecycle) => lifecycle.Subscribe(nameof(TimerDispatcher), Stage, StartAsync, StopAsync);

    private Task StartAsync(CancellationToken cancellationToken)
    {
        _running = Task.Run(RunAsync, CancellationToken.None);
        return Task.CompletedTask;
    }

    private async Task StopAsync(CancellationToken deadline)
    {
        await _stopping.CancelAsync();
        await _running.WaitAsync(StopTimeout, deadline).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        if (!_running.IsCompleted)
            LogNotEnded();
    }

    // The first timer creates the topic. While a cluster starts, it would have the replicas of the first broker alone.
    private async Task RunAsync()
    {
        var topics = new TimerTopics(client, options);
        var kept = Guid.Empty;
        CursorDispatcher? dispatcher = null;
        var hasFailed = false;
        while (!_stopping.IsCancellationRequested)
        {
            try
            {
                var listed = (await client.Broker.ListTopicsAsync(_stopping.Token).ConfigureAwait(false))
                    .ToDictionary(static topic => topic.Name, static topic => topic.TopicId, StringComparer.Ordinal);
                if (listed.TryGetValue(options.Topic, out var id))
                {
                    if (id != kept)
                        await KeepSettingsAsync(topics).ConfigureAwait(false);
                    kept = id;
                    dispatcher ??= Start(topics);
                    await topics.KeepOptionsAsync(options.Topic, Queue, listed, _stopping.Token).ConfigureAwait(false);
                }
                hasFailed = false;
            }
            catch (Exception) when (_stopping.IsCancellationRequested)
            {
                break;
            }
            catch (Exception failure)
            {
                // Whatever it is, the next round may find it mended; without one no timer would be delivered.
                if (!hasFailed)
                    LogRetry(options.Topic, failure);
                hasFailed = true;
            }
            await Task.Delay(options.RefreshInterval, _stopping.Token).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        }
        if (dispatcher is not null)
            await dispatcher.DisposeAsync().ConfigureAwait(false);
    }

    private async Task KeepSettingsAsync(TimerTopics topics)
    {
        try
        {
            await topics.KeepSettingsAsync(_stopping.Token).ConfigureAwait(false);
        }
        catch (BrokerException refused) when (TopicSettings.IsRefusal(refused))
        {
            LogNotAltered(options.Topic, refused.Message);
        }
    }

    private CursorDispatcher Start(CursorTopics topics)
    {
        var caller = new GrainCaller(grains, new GrainClasses(manifests, TimeProvider.System), options.MissingClassTimeout,
            (messaging?.Value ?? new SiloMessagingOptions()).MaxMessageBodySize,
            new LostCalls(grains, options.AskInterval, TimeProvider.System), logger);
        return new CursorDispatcher(client, topics, options.Delivery, options.Topic, Queue,
            new TimerDeliveries(new CursorSources(client), caller, catalog, Queue), local is not null ? PriorityOf : null, logger);
    }

    // The leader's silo comes first: the record then travels to no other silo before its grain.
    private int PriorityOf(TopicPartition partition) => local!.TryGet(partition, out _) ? 1 : 0;

    [LoggerMessage(1, LogLevel.Warning, "Timers of topic {Topic} may not be delivered now; retrying.")]
    private partial void LogRetry(string topic, Exception reason);

    [LoggerMessage(3, LogLevel.Warning, "The settings of topic {Topic} cannot be looked up and altered: where they are others, timers that "
        + "have fired may be lost. Run 'omq topic alter {Topic} --config retention.until.settled=true --config flush.messages=1', and "
        + "give its dead-letter topic flush.messages=1 before. {Reason}")]
    private partial void LogNotAltered(string topic, string reason);

    [LoggerMessage(2, LogLevel.Warning, "Timers have not been settled by the time that the stop may take: they are delivered again when "
        + "the silo's sessions have ended.")]
    private partial void LogNotEnded();
}
