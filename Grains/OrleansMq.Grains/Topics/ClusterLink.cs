using OrleansMq.Brokers;
using OrleansMq.Clusters;
using OrleansMq.Diagnostics;
using OrleansMq.Grains.Hosting;
using OrleansMq.Grains.Replication;

namespace OrleansMq.Grains.Topics;

/// <summary>
/// Announces this broker to the cluster's grain: at the start, whenever a broker joins or dies, and periodically, in case a push was lost.
/// If the grain's own silo died, the call activates it again. Repeated until it is answered.
/// </summary>
internal sealed class ClusterLink(SiloBroker broker, ClusterImageCache images, ClusterMembership membership, IGrainFactory grains)
    : ILifecycleParticipant<ISiloLifecycle>, IAsyncDisposable
{
    private static readonly TimeSpan Interval = TimeSpan.FromSeconds(5);
    private static readonly TimeSpan LastWord = TimeSpan.FromSeconds(2);
    private static readonly TimeSpan Pause = TimeSpan.FromMilliseconds(200);

    private readonly CancellationTokenSource _stopped = new();
    private readonly SemaphoreSlim _work = new(1, 1);
    private Task _calling = Task.CompletedTask;

    /// <inheritdoc/>
    public void Participate(ISiloLifecycle lifecycle) =>
        lifecycle.Subscribe(nameof(ClusterLink), ServiceLifecycleStage.Active, _ =>
        {
            membership.Changed += Wake;
            _calling = Task.Run(CallAsync, CancellationToken.None);
            return Task.CompletedTask;
        }, _ => DisposeAsync().AsTask());

    /// <summary>Completes when the cluster's metadata list this broker as alive; from then on topics are placed on it.</summary>
    /// <exception cref="OperationCanceledException">The wait was cancelled.</exception>
    public async Task JoinedAsync(CancellationToken cancellationToken)
    {
        var image = images.Image;
        while (!(image.Brokers.TryGetValue(broker.Options.BrokerId.Value, out var self) && self.IsAlive))
            image = await images.WaitForNewerAsync(image.Version, cancellationToken).ConfigureAwait(false);
    }

    /// <inheritdoc/>
    public async ValueTask DisposeAsync()
    {
        membership.Changed -= Wake;
        await _stopped.CancelAsync().ConfigureAwait(false);
        // Let a call in progress complete while the silo can still process its answer.
        await Task.WhenAny(_calling, Task.Delay(LastWord, CancellationToken.None)).ConfigureAwait(false);
    }

    private void Wake()
    {
        try
        {
            _work.Release();
        }
        catch (SemaphoreFullException)
        {
            // A call is already due.
        }
    }

    private async Task CallAsync()
    {
        try
        {
            while (true)
            {
                await _work.WaitAsync(Interval, _stopped.Token).ConfigureAwait(false);
                while (!await TryCallAsync().ConfigureAwait(false))
                    await Task.Delay(Pause, _stopped.Token).ConfigureAwait(false);
            }
        }
        catch (OperationCanceledException) when (_stopped.IsCancellationRequested)
        {
            // The silo stops.
        }
    }

    private async Task<bool> TryCallAsync()
    {
        // Before joining and while stopping, this silo cannot host the grain, and there may be no other silo to answer.
        if (!membership.IsActive(broker.Options.BrokerId.Value))
            return true;
        try
        {
            await grains.GetGrain<IClusterOwnerGrain>(GrainKeys.Cluster)
                .HelloAsync(RegistrationRecord.Of(Registration()), images.Image.Version).ConfigureAwait(false);
            return true;
        }
        catch (Exception unanswered) when (unanswered is TimeoutException or OrleansException or BrokerException)
        {
            broker.Log(EngineLogLevel.Debug, "The cluster's grain does not answer; calling again.", unanswered);
            return false;
        }
    }

    private BrokerRegistration Registration()
    {
        var self = broker.Options.BrokerId.Value;
        var address = membership.AddressOf(self)?.Endpoint;
        return new BrokerRegistration
        {
            BrokerId = self,
            Rack = broker.Cluster?.Rack,
            Host = address?.Address.ToString(),
            Http = broker.Cluster?.Http,
            Kafka = broker.Cluster?.Kafka,
            KafkaListeners = broker.Cluster is { } cluster ? ListenerAddresses.Format(cluster.KafkaListeners) : null,
            Orleans = address?.ToString(),
            Version = LocalBroker.Version,
            DataDirectory = broker.Options.DataDirectory,
            Codecs = BrokerRegistration.NamesOf(broker.Options.Codecs),
        };
    }
}
