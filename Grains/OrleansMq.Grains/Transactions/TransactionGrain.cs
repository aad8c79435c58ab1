using Orleans.Concurrency;
using Orleans.GrainDirectory;
using Orleans.Placement;
using OrleansMq.Api;
using OrleansMq.Coordination;
using OrleansMq.Grains.Access;
using OrleansMq.Grains.Brokers;
using OrleansMq.Grains.Coordination;
using OrleansMq.Grains.Hosting;
using OrleansMq.Transactions;

namespace OrleansMq.Grains.Transactions;

/// <summary>
/// One transactional id: a thin shell around the engine's <see cref="TransactionCoordinator"/>. Reentrant, so that requests go on while
/// another waits for the store.
/// <para>An activation ends after an hour without calls: an open transaction cannot last that long. One that is being ended for longer,
/// since a partition has no leader, is woken by the partitions that wait for it.</para>
/// </summary>
[GrainType(TypeName)]
[Immovable, Reentrant, CollectionAgeLimit(Hours = 1)]
[CoordinatorPlacement, GrainDirectory(BrokerDirectories.Coordinators)]
internal sealed class TransactionGrain(SiloBroker broker, GrainDoor door, ActiveCoordinators active, TransactionServices transactions,
    IServiceProvider services)
    : CoordinatorGrain(TransactionDocuments.Kind.Noun, broker, active, services), ITransactionGrain, IIncomingGrainCallFilter
{
    /// <summary>The grain's type: the first half of its id.</summary>
    public const string TypeName = "omq.transaction";

    /// <inheritdoc/>
    public Task<int> FindCoordinatorAsync(CancellationToken cancellationToken) => FindBrokerAsync();

    /// <inheritdoc/>
    public async Task<object> SendAsync(ITransactionRequest request, CancellationToken cancellationToken) =>
        (await AskAsync(request, wait: default, cancellationToken))!;

    /// <inheritdoc/>
    protected override async Task<ICoordinator> OpenAsync() => await TransactionCoordinator.OpenAsync(Id, Broker.Options.BrokerId.Value,
        transactions.Stores.For(Id), transactions.Participants, transactions.Producers, Broker.Options.Transactions,
        Broker.Options.TimeProvider, Broker.Options.Log);

    /// <inheritdoc/>
    public Task Invoke(IIncomingGrainCallContext context) => door.InvokeAsync(context);
}
