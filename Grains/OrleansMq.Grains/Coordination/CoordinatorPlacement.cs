using Microsoft.Extensions.DependencyInjection;
using Orleans.GrainDirectory;
using Orleans.Placement;
using Orleans.Runtime.Placement;
using OrleansMq.Grains.Brokers;
using OrleansMq.Grains.Partitions;

namespace OrleansMq.Grains.Coordination;

/// <summary>Places a coordinator's grain on the broker that runs it, or is to run it.</summary>
[AttributeUsage(AttributeTargets.Class)]
internal sealed class CoordinatorPlacementAttribute() : PlacementAttribute(new CoordinatorPlacement());

/// <summary>Asks the brokers.</summary>
/// <remarks>Its services are resolved late: a silo alone has no search.</remarks>
internal sealed class CoordinatorPlacementDirector(IServiceProvider services, IBrokerPeers peers) : IPlacementDirector
{
    /// <inheritdoc/>
    public async Task<SiloAddress> OnAddActivation(PlacementStrategy strategy, PlacementTarget target, IPlacementContext context) =>
        peers.IsReplicated && await services.GetRequiredService<CoordinatorSearch>().FindAsync(target.GrainIdentity) is var broker
        && peers.Find(broker) is { } silo
            ? silo
            : context.LocalSilo;
}

/// <summary>
/// The grain directory of coordinators. It stores nothing, for the same reason as that of partitions. A silo's death takes no entry of a
/// healthy coordinator with it, and no entry of the dead silo has to be cleared before its coordinators run elsewhere.
/// </summary>
/// <remarks>Its services are resolved late: Orleans creates its directories before them.</remarks>
internal sealed class CoordinatorDirectory(IServiceProvider services) : IGrainDirectory
{
    /// <inheritdoc/>
    /// <remarks>An address on another silo means: not here, forward the calls to there.</remarks>
    public async Task<GrainAddress?> Register(GrainAddress address)
    {
        var peers = services.GetRequiredService<IBrokerPeers>();
        if (!peers.IsReplicated)
            return address;
        var broker = await services.GetRequiredService<CoordinatorSearch>().FindAsync(address.GrainId);
        if (broker == peers.Self || peers.Find(broker) is not { } elsewhere)
            return address;
        return new GrainAddress
        {
            GrainId = address.GrainId,
            SiloAddress = elsewhere,
            ActivationId = ActivationId.NewId(),
            MembershipVersion = address.MembershipVersion,
        };
    }

    /// <inheritdoc/>
    public Task<GrainAddress?> Register(GrainAddress address, GrainAddress? previousAddress) => Register(address);

    /// <inheritdoc/>
    public Task Unregister(GrainAddress address) => Task.CompletedTask;

    /// <inheritdoc/>
    public Task<GrainAddress?> Lookup(GrainId grainId) => Task.FromResult<GrainAddress?>(null);

    /// <inheritdoc/>
    public Task UnregisterSilos(List<SiloAddress> siloAddresses) => Task.CompletedTask;
}
