using Orleans.Runtime.Services;
using OrleansMq.Replication;

namespace OrleansMq.Grains.Replication;

/// <summary>The other brokers' <see cref="IReplicaService"/>, by broker id. Thread safe; usable from outside grains.</summary>
internal sealed class ReplicaServices(IServiceProvider services, ClusterMembership membership)
    : GrainServiceClient<IReplicaService>(services)
{
    /// <summary>The service of a broker.</summary>
    /// <exception cref="BrokerException"><see cref="ErrorCode.BrokerNotAvailable"/>: it is no live member.</exception>
    public IReplicaService Of(int broker) => GetGrainService(membership.AddressOf(broker)
        ?? throw new BrokerException(ErrorCode.BrokerNotAvailable, $"Broker {broker} is not a live member of the cluster."));

    /// <summary>How a broker's replicas describe themselves; those that are not there are left out.</summary>
    /// <param name="broker">Whom to ask.</param>
    /// <param name="keys">Which.</param>
    /// <param name="cancellationToken">Gives it up.</param>
    /// <exception cref="BrokerException"><see cref="ErrorCode.BrokerNotAvailable"/>. Any other exception: there is no answer.</exception>
    public async Task<IReadOnlyList<ReplicaReport>> ReportAsync(int broker, IReadOnlyCollection<ReplicaKey> keys,
        CancellationToken cancellationToken)
    {
        var records = await Of(broker).ReportAsync([.. keys.Select(key => (ReplicaKeyRecord)key)])
            .WaitAsync(cancellationToken).ConfigureAwait(false);
        return [.. records.Select(record => record.ToReport())];
    }
}
