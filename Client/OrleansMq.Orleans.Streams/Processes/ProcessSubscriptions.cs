using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;
using Orleans.Streams;
using OrleansMq.Client;

namespace OrleansMq.Streams;

/// <summary>The subscriptions that an Orleans client, or the services on a silo, have to the streams of a provider. They are in this
/// process alone, and end with its host. Thread-safe.</summary>
/// <param name="provider">The provider.</param>
/// <param name="client">The broker.</param>
/// <param name="services">The services of the client or the silo.</param>
/// <param name="logger">Takes failures.</param>
internal sealed class ProcessSubscriptions(OrleansMqStreamProvider provider, OrleansMqClient client, IServiceProvider services,
    ILogger logger)
{
    /// <summary>The most subscriptions: each reads the whole partition of its stream.</summary>
    internal const int Most = 100;

    // Calls in progress are waited for that long.
    private static readonly TimeSpan StopTimeout = TimeSpan.FromSeconds(5);

    private readonly Lock _lock = new();
    private readonly Dictionary<Guid, StreamReading> _all = [];
    private bool _hasStopped;

    /// <summary>Subscribes.</summary>
    /// <param name="stream">The stream.</param>
    /// <param name="partition">Its partition.</param>
    /// <param name="from">Where it begins.</param>
    /// <param name="observer">Receives the events.</param>
    /// <exception cref="InvalidOperationException">There are as many as a process may have.</exception>
    /// <exception cref="ObjectDisposedException">The host has stopped.</exception>
    public Guid Subscribe(StreamId stream, TopicPartition partition, StreamBegin from, IStreamObserver observer)
    {
        var subscription = new StreamReading(provider, client, services, stream, partition, logger);
        lock (_lock)
        {
            if (_hasStopped)
            {
                throw new ObjectDisposedException(provider.Name, $"Stream provider '{provider.Name}' has stopped with the host of this "
                    + "process, and its subscriptions have ended.");
            }
            if (_all.Count >= Most)
            {
                throw new InvalidOperationException($"This process has {Most} subscriptions to streams of provider '{provider.Name}', as "
                    + "many as it may: each reads the whole partition of its stream. Unsubscribe, or let grains subscribe.");
            }
            _all[subscription.Id] = subscription;
        }
        subscription.Begin(observer, from);
        return subscription.Id;
    }

    /// <summary>Gives a subscription another observer.</summary>
    /// <param name="stream">The stream.</param>
    /// <param name="id">The subscription.</param>
    /// <param name="observer">Receives the events from now on.</param>
    /// <param name="from">Where it begins; null: it goes on where it is.</param>
    /// <exception cref="InvalidOperationException">This process has no such subscription.</exception>
    public void Resume(StreamId stream, Guid id, IStreamObserver observer, StreamBegin? from) => Get(stream, id).Begin(observer, from);

    /// <summary>Throws where this process has no such subscription.</summary>
    /// <exception cref="InvalidOperationException">It has none.</exception>
    public void Require(StreamId stream, Guid id) => Get(stream, id);

    /// <summary>Ends a subscription: no call of its observer is admitted after that.</summary>
    /// <exception cref="InvalidOperationException">This process has no such subscription.</exception>
    public void Unsubscribe(StreamId stream, Guid id)
    {
        var subscription = Get(stream, id);
        lock (_lock)
            _all.Remove(id);
        subscription.End();
    }

    /// <summary>Returns the subscriptions to a stream.</summary>
    public IReadOnlyList<Guid> Find(StreamId stream)
    {
        lock (_lock)
            return [.. _all.Values.Where(subscription => subscription.Stream == stream).Select(static subscription => subscription.Id)];
    }

    /// <summary>Ends all. Calls in progress are waited for up to 5 seconds.</summary>
    public async Task StopAsync(CancellationToken cancellationToken)
    {
        StreamReading[] ending;
        lock (_lock)
        {
            _hasStopped = true;
            ending = [.. _all.Values];
            _all.Clear();
        }
        foreach (var subscription in ending)
            subscription.End();
        await Task.WhenAll(ending.Select(static subscription => subscription.Running)).WaitAsync(StopTimeout, cancellationToken)
            .ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
    }

    private StreamReading Get(StreamId stream, Guid id)
    {
        lock (_lock)
        {
            if (_all.TryGetValue(id, out var found) && found.Stream == stream)
                return found;
        }
        throw new InvalidOperationException($"This process has no subscription {id} to stream {stream} of provider '{provider.Name}': "
            + "it was removed, or belongs to a grain or another process, which alone resume and remove it. Call SubscribeAsync.");
    }
}

/// <summary>The provider whose streams are subscribed to in this process, on a silo or a client.</summary>
/// <param name="Provider">The provider.</param>
internal sealed record ProcessStreams(OrleansMqStreamProvider Provider)
{
    /// <summary>Its subscriptions.</summary>
    public ProcessSubscriptions Subscriptions => Provider.Process!;
}

/// <summary>Ends the subscriptions of a client's process when its host stops, before the Orleans client does.</summary>
/// <param name="name">The provider's name.</param>
/// <param name="services">The client's services.</param>
internal sealed class ClientSubscriptionsAtStop(string name, IServiceProvider services) : IHostedService
{
    /// <inheritdoc/>
    public Task StartAsync(CancellationToken cancellationToken) => Task.CompletedTask;

    /// <inheritdoc/>
    public Task StopAsync(CancellationToken cancellationToken) =>
        services.GetRequiredKeyedService<ProcessStreams>(name).Subscriptions.StopAsync(cancellationToken);
}

/// <summary>Ends the subscriptions of a silo's process, and what reads for replays of its activations, when the silo stops, before its
/// partitions are handed over. That holds also where a host stops its services at once.</summary>
/// <param name="name">The provider's name.</param>
/// <param name="services">The silo's services.</param>
internal sealed class SiloSubscriptionsAtStop(string name, IServiceProvider services) : ILifecycleParticipant<ISiloLifecycle>
{
    /// <inheritdoc/>
    public void Participate(ISiloLifecycle lifecycle) => lifecycle.Subscribe($"{nameof(SiloSubscriptionsAtStop)} {name}",
        StreamDispatcher.Stage, static _ => Task.CompletedTask,
        StopAsync);

    private async Task StopAsync(CancellationToken cancellationToken)
    {
        await ((OrleansMqStreamProvider)services.GetRequiredKeyedService<IStreamProvider>(name)).StopReplaysAsync();
        await services.GetRequiredKeyedService<ProcessStreams>(name).Subscriptions.StopAsync(cancellationToken);
    }
}
