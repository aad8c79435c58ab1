using OrleansMq.Brokers;
using OrleansMq.Clusters;
using OrleansMq.Diagnostics;
using OrleansMq.Grains.Hosting;
using OrleansMq.Grains.Replication;

namespace OrleansMq.Grains.Topics;

/// <summary>
/// This broker's word to the cluster's grain that it is there: at the start, whenever somebody joins or dies (the grain's own silo perhaps:
/// then this makes its next activation), and now and then, in case that a push was lost. Repeated until it is answered.
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

    /// <summary>Completes when the cluster's metadata have this broker among those that live: from then on topics are placed on
    /// it.</summary>
    /// <exception cref="OperationCanceledException">It was given up.</exception>
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
        // What was asked is answered first, while the silo can still do so.
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
            // It is about to call anyhow.
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
        // Before and after that nobody else may be there to answer, and this silo is none that would.
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
            Orleans = address?.ToString(),
            Version = LocalBroker.Version,
            DataDirectory = broker.Options.DataDirectory,
        };
    }
}
