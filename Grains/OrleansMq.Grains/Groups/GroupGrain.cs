using Orleans.Concurrency;
using Orleans.GrainDirectory;
using Orleans.Placement;
using OrleansMq.Api;
using OrleansMq.Clusters;
using OrleansMq.Coordination;
using OrleansMq.Grains.Access;
using OrleansMq.Grains.Coordination;
using OrleansMq.Grains.Hosting;
using OrleansMq.Groups.Coordination;

namespace OrleansMq.Grains.Groups;

/// <summary>
/// One consumer group: a thin shell around the engine's <see cref="GroupCoordinator"/>. Reentrant, so that heartbeats go on while a commit
/// waits for the store.
/// <para>An activation ends after an hour without calls: its members' sessions cannot last half of that.</para>
/// </summary>
[GrainType(TypeName)]
[Immovable, Reentrant, CollectionAgeLimit(Hours = 1)]
[CoordinatorPlacement, GrainDirectory(CoordinatorDirectory.Name)]
internal sealed class GroupGrain(SiloBroker broker, GrainDoor door, ActiveCoordinators active, IClusterMetadata topics,
    IServiceProvider services)
    : CoordinatorGrain(GroupDocuments.Kind, broker, active, services), IGroupGrain, IIncomingGrainCallFilter
{
    /// <summary>The grain's type: the first half of its id.</summary>
    public const string TypeName = "omq.group";

    /// <inheritdoc/>
    public Task<int> FindCoordinatorAsync() => FindBrokerAsync();

    /// <inheritdoc/>
    public Task<object?> SendAsync(IGroupRequest request, Guid wait) =>
        AskAsync(request is ConsumerGroupHeartbeat { MaxWait: var maxWait } poll && maxWait > RequestWaits.Slice
            ? poll with { MaxWait = RequestWaits.Slice } : request, wait);

    /// <inheritdoc/>
    protected override async Task<ICoordinator> OpenAsync() => await GroupCoordinator.OpenAsync(Id, Broker.Options.BrokerId.Value,
        Documents, topics, Broker.Options.Groups, Broker.Options.TimeProvider, Broker.Options.Log);

    /// <inheritdoc/>
    public Task Invoke(IIncomingGrainCallContext context) => door.InvokeAsync(context);
}
