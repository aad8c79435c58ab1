using OrleansMq.Grains.Hosting;
using OrleansMq.Replication;

namespace OrleansMq.Grains.Replication;

/// <summary>
/// The replicas of this silo, from the opened data directory to its close. They answer from before the silo is active until its grains are
/// gone.
/// </summary>
internal sealed class SiloReplicas(IServiceProvider services, SiloBroker broker, BrokerClusterOptions options, ClusterMembership membership)
    : ILifecycleParticipant<ISiloLifecycle>, IAsyncDisposable
{
    private ReplicaManager? _manager;

    /// <summary>The replicas.</summary>
    /// <exception cref="BrokerException"><see cref="ErrorCode.BrokerNotAvailable"/>: the silo starts, or has stopped.</exception>
    public ReplicaManager Manager => _manager
        ?? throw new BrokerException(ErrorCode.BrokerNotAvailable, $"Broker {broker.Options.BrokerId} is starting, or stopping. Retry.");

    /// <summary>The replica of a partition that is here and open; null where there is none, or the silo starts or has stopped.</summary>
    public Replica? Find(ReplicaKey key) => _manager is { } manager && manager.TryGet(key, out var replica) ? replica : null;

    /// <inheritdoc/>
    public void Participate(ISiloLifecycle lifecycle)
    {
        // After the data directory is opened, and closed before it is.
        lifecycle.Subscribe(nameof(SiloReplicas), ServiceLifecycleStage.RuntimeStorageServices + 1, Open, _ => DisposeAsync().AsTask());
        // Grain storage begins at this stage.
        lifecycle.Subscribe(nameof(SiloReplicas), ServiceLifecycleStage.ApplicationServices + 1, Start);
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
