using Orleans.Concurrency;
using Orleans.GrainDirectory;
using Orleans.Placement;
using OrleansMq.Api;
using OrleansMq.Clusters;
using OrleansMq.Coordination;
using OrleansMq.Grains.Access;
using OrleansMq.Grains.Brokers;
using OrleansMq.Grains.Coordination;
using OrleansMq.Grains.Hosting;
using OrleansMq.Grains.Security;
using OrleansMq.Groups.Coordination;

namespace OrleansMq.Grains.Groups;

/// <summary>
/// One consumer group: a thin shell around the engine's <see cref="GroupCoordinator"/>. Reentrant, so that heartbeats go on while a commit
/// waits for the store.
/// <para>An activation ends after an hour without calls: its members' sessions cannot last half of that.</para>
/// </summary>
[GrainType(TypeName)]
[Immovable, Reentrant, CollectionAgeLimit(Hours = 1)]
[CoordinatorPlacement, GrainDirectory(BrokerDirectories.Coordinators)]
internal sealed class GroupGrain(SiloBroker broker, GrainDoor door, ActiveCoordinators active, IClusterMetadata topics,
    CoordinatorDocuments documents, SiloSecurity security, GrainBroker grains, IServiceProvider services)
    : CoordinatorGrain(GroupDocuments.Kind.Noun, broker, active, services), IGroupGrain, IIncomingGrainCallFilter
{
    /// <summary>The grain's type: the first half of its id.</summary>
    public const string TypeName = "omq.group";

    // Of the call that begins: no other call begins between the filter and the method.
    private GrainId _caller;

    /// <inheritdoc/>
    public Task<int> FindCoordinatorAsync(CancellationToken cancellationToken) => FindBrokerAsync();

    /// <inheritdoc/>
    public Task<object?> SendAsync(IGroupRequest request, Guid wait, CancellationToken cancellationToken) =>
        request is ConsumerGroupHeartbeat { MaxWait: var maxWait } poll && maxWait > TimeSpan.Zero
            ? PollAsync(maxWait > RequestWaits.Slice ? poll with { MaxWait = RequestWaits.Slice } : poll, _caller, cancellationToken)
            : AskAsync(request, wait, cancellationToken);

    /// <inheritdoc/>
    protected override async Task<ICoordinator> OpenAsync() => await GroupCoordinator.OpenAsync(Id, Broker.Options.BrokerId.Value,
        documents.Of(GroupDocuments.Kind, this.GetGrainId().Type).For(Id), topics, Broker.Options.Groups, Broker.Options.TimeProvider,
        Broker.Options.Log, security.Sights is { } sights ? () => sights.Current : null, () => grains.Transactions);

    /// <inheritdoc/>
    public Task Invoke(IIncomingGrainCallContext context)
    {
        _caller = context.SourceId ?? default;
        return door.InvokeAsync(context);
    }
}
