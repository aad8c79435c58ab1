using Orleans.Runtime.Services;
using OrleansMq.Replication;

namespace OrleansMq.Grains.Replication;

/// <summary>The other brokers' <see cref="IReplicaService"/>, by broker id. Thread safe; usable outside grains.</summary>
internal sealed class ReplicaServices(IServiceProvider services, ClusterMembership membership)
    : GrainServiceClient<IReplicaService>(services)
{
    /// <summary>Returns the service of a broker.</summary>
    /// <exception cref="BrokerException"><see cref="ErrorCode.BrokerNotAvailable"/>: it is not a live member.</exception>
    public IReplicaService Of(int broker) => GetGrainService(membership.AddressOf(broker)
        ?? throw new BrokerException(ErrorCode.BrokerNotAvailable, $"Broker {broker} is not a live member of the cluster."));

    /// <summary>Asks a broker to describe its replicas; those that it does not have are left out.</summary>
    /// <param name="broker">The broker to ask.</param>
    /// <param name="keys">The partitions.</param>
    /// <param name="cancellationToken">Cancels the call.</param>
    /// <exception cref="BrokerException"><see cref="ErrorCode.BrokerNotAvailable"/>. Any other exception means that there is no
    /// answer.</exception>
    public async Task<IReadOnlyList<ReplicaReport>> ReportAsync(int broker, IReadOnlyCollection<ReplicaKey> keys,
        CancellationToken cancellationToken)
    {
        var records = await Of(broker).ReportAsync([.. keys.Select(key => (ReplicaKeyRecord)key)])
            .WaitAsync(cancellationToken).ConfigureAwait(false);
        return [.. records.Select(record => record.ToReport())];
    }
}
