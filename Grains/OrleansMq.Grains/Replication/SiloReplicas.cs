using OrleansMq.Grains.Hosting;
using OrleansMq.Replication;

namespace OrleansMq.Grains.Replication;

/// <summary>
/// The replicas of this silo, between the opening and the closing of the data directory. They answer before the silo is active and until
/// its grains are gone.
/// </summary>
internal sealed class SiloReplicas(IServiceProvider services, SiloBroker broker, BrokerClusterOptions options, ClusterMembership membership)
    : ILifecycleParticipant<ISiloLifecycle>, IAsyncDisposable
{
    private ReplicaManager? _manager;

    /// <summary>The replicas.</summary>
    /// <exception cref="BrokerException"><see cref="ErrorCode.BrokerNotAvailable"/>: the silo is starting or has stopped.</exception>
    public ReplicaManager Manager => _manager
        ?? throw new BrokerException(ErrorCode.BrokerNotAvailable, $"Broker {broker.Options.BrokerId} is starting, or stopping. Retry.");

    /// <summary>Returns the partition's open replica; null if there is none, or if the silo is starting or has stopped.</summary>
    public Replica? Find(ReplicaKey key) => _manager is { } manager && manager.TryGet(key, out var replica) ? replica : null;

    /// <inheritdoc/>
    public void Participate(ISiloLifecycle lifecycle)
    {
        // Opens after the data directory, and closes before it.
        lifecycle.Subscribe(nameof(SiloReplicas), ServiceLifecycleStage.RuntimeStorageServices + 1, Open, _ => DisposeAsync().AsTask());
        // Grain storage starts before; and SiloSecurity, without whose ticket the other brokers refuse calls.
        lifecycle.Subscribe(nameof(SiloReplicas), ServiceLifecycleStage.ApplicationServices + 2, Start);
    }

    /// <inheritdoc/>
    public async ValueTask DisposeAsync()
    {
        membership.Changed -= OnMembershipChanged;
        if (Interlocked.Exchange(ref _manager, null) is { } manager)
            await manager.DisposeAsync();
    }

    private Task Open(CancellationToken cancellationToken)
    {
        _manager = new ReplicaManager(broker.Partitions, broker.Options, options.Replication,
            new SiloReplicationHost(services, broker.Options.BrokerId.Value));
        return Task.CompletedTask;
    }

    private Task Start(CancellationToken cancellationToken)
    {
        Manager.Start();
        membership.Changed += OnMembershipChanged;
        return Task.CompletedTask;
    }

    private void OnMembershipChanged() => _manager?.OnMembershipChanged();
}
