using Microsoft.Extensions.DependencyInjection;
using Orleans.Concurrency;
using Orleans.GrainDirectory;
using Orleans.Placement;
using Orleans.Storage;
using OrleansMq.Brokers;
using OrleansMq.Coordination;
using OrleansMq.Grains.Access;
using OrleansMq.Grains.Brokers;
using OrleansMq.Grains.Coordination;
using OrleansMq.Grains.Hosting;
using OrleansMq.Grains.Storage;
using OrleansMq.State;
using OrleansMq.VirtualHosts;

namespace OrleansMq.Grains.VirtualHosts;

/// <summary>All virtual hosts of a replicated cluster: a thin shell around the engine's <see cref="VirtualHostCoordinator"/>. One grain
/// owns them all, since users, permissions and imports concern several. An activation claims the documents; then earlier ones answer
/// nothing.</summary>
[GrainType(TypeName)]
[Immovable, Reentrant, CollectionAgeLimit(Hours = 1)]
[CoordinatorPlacement, GrainDirectory(BrokerDirectories.Coordinators)]
internal sealed class VirtualHostsGrain(SiloBroker broker, GrainDoor door, ActiveCoordinators active, IServiceProvider services)
    : CoordinatorGrain("owner of the virtual hosts", broker, active, services), IVirtualHostsGrain, IIncomingGrainCallFilter
{
    /// <summary>The grain's type: the first half of its id.</summary>
    public const string TypeName = "omq.virtual-hosts";

    /// <summary>The grain's key: the second half.</summary>
    public const string Key = "all";

    /// <inheritdoc/>
    public async Task<byte[]> SendAsync(byte[] request, CancellationToken cancellationToken) =>
        ((VirtualHostReply)(await AskAsync(VirtualHostRequest.Parse(request), default, cancellationToken))!).ToBytes();

    /// <inheritdoc/>
    public Task Invoke(IIncomingGrainCallContext context) => door.InvokeAsync(context);

    /// <inheritdoc/>
    protected override async Task<ICoordinator> OpenAsync()
    {
        if (Broker.Cluster is null)
            throw new BrokerException(ErrorCode.CoordinatorNotAvailable, "This broker is the only one, and owns its virtual hosts itself.");
        var reach = ServiceProvider.GetRequiredService<VirtualHostsReach>();
        var store = new GrainStateStore(ServiceProvider.GetRequiredKeyedService<IGrainStorage>(FileGrainStorage.ProviderName),
            this.GetGrainId().Type, Broker.Options.TimeProvider);
        var publisher = reach.CreatePublisher();
        try
        {
            var options = new VirtualHostOwnerOptions
            {
                Log = Broker.Options.Log,
                Users = AmqpUserRules.Of(Broker.Options.Security),
            };
            return await VirtualHostCoordinator.OpenAsync(store, options,
                reach.FenceAsync, publisher);
        }
        catch (Exception failure)
        {
            await publisher.DisposeAsync();
            if (failure is StateConflictException)
                throw new BrokerException(ErrorCode.NotCoordinator, "Another broker claims the virtual hosts at the same time: retry.");
            throw;
        }
    }
}
