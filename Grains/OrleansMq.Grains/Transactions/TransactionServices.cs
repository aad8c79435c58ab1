using Microsoft.Extensions.DependencyInjection;
using Orleans.Storage;
using OrleansMq.Clusters;
using OrleansMq.Grains.Brokers;
using OrleansMq.Grains.Coordination;
using OrleansMq.Grains.Hosting;
using OrleansMq.Grains.Storage;
using OrleansMq.Grains.Topics;
using OrleansMq.Partitions;
using OrleansMq.Topics;
using OrleansMq.Transactions;

namespace OrleansMq.Grains.Transactions;

/// <summary>What the coordinators of transactional ids on a silo share. Thread safe.</summary>
internal sealed class TransactionServices
{
    public TransactionServices(SiloBroker silo, GrainBroker broker, CoordinatorDocuments documents, IGrainFactory grains,
        ILocalPartitions local, IClusterMetadata metadata,
        [FromKeyedServices(FileGrainStorage.ProviderName)] IGrainStorage storage)
    {
        Stores = documents.Of(TransactionDocuments.Kind, GrainType.Create(TransactionGrain.TypeName));
        Producers = new TransactionProducers(Stores.Shared,
            async cancellationToken => (await broker.InitProducerIdAsync(cancellationToken)).ProducerId, silo.Options.Log);
        Participants = new GrainParticipants(grains, broker.Groups, local, metadata,
            name => new GrainDocument<TopicState>(storage, TopicGrain.DocumentType, GrainId.Create(TopicGrain.TypeName, name))
                .ReadAsync().AsTask(), silo.Options.Log);
    }

    /// <summary>The documents.</summary>
    public ICoordinatorStores Stores { get; }

    /// <summary>Gives out producer ids.</summary>
    public TransactionProducers Producers { get; }

    /// <summary>The partitions and groups.</summary>
    public ITransactionParticipants Participants { get; }
}
