using OrleansMq.Clusters;
using OrleansMq.Grains.Brokers;
using OrleansMq.Grains.Coordination;
using OrleansMq.Grains.Hosting;
using OrleansMq.Partitions;
using OrleansMq.Transactions;

namespace OrleansMq.Grains.Transactions;

/// <summary>What the coordinators of transactional ids on a silo share. Thread safe.</summary>
internal sealed class TransactionServices
{
    public TransactionServices(SiloBroker silo, GrainBroker broker, CoordinatorDocuments documents, IGrainFactory grains,
        ILocalPartitions local, IClusterMetadata metadata)
    {
        Stores = documents.Of(TransactionDocuments.Kind, GrainType.Create(TransactionGrain.TypeName));
        Producers = new TransactionProducers(Stores.Shared,
            async cancellationToken => (await broker.InitProducerIdAsync(cancellationToken)).ProducerId, silo.Options.Log);
        Participants = new GrainParticipants(grains, broker.Groups, local, metadata, silo.Options.Log);
    }

    /// <summary>The documents.</summary>
    public ICoordinatorStores Stores { get; }

    /// <summary>Gives out producer ids.</summary>
    public TransactionProducers Producers { get; }

    /// <summary>The partitions and groups.</summary>
    public ITransactionParticipants Participants { get; }
}
