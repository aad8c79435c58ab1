using Microsoft.Extensions.DependencyInjection;
using Orleans.GrainDirectory;
using Orleans.Placement;
using Orleans.Runtime.Placement;
using OrleansMq.Grains.Partitions;

namespace OrleansMq.Grains.Groups;

/// <summary>A group's grain is placed where it is coordinated, or is to be.</summary>
[AttributeUsage(AttributeTargets.Class)]
internal sealed class GroupPlacementAttribute() : PlacementAttribute(new GroupPlacement());

/// <summary>See <see cref="GroupPlacementAttribute"/>.</summary>
internal sealed class GroupPlacement : PlacementStrategy;

/// <summary>Asks the brokers.</summary>
/// <remarks>What it needs is looked up late: a silo alone has no search.</remarks>
internal sealed class GroupPlacementDirector(IServiceProvider services, IBrokerPeers peers) : IPlacementDirector
{
    /// <inheritdoc/>
    public async Task<SiloAddress> OnAddActivation(PlacementStrategy strategy, PlacementTarget target, IPlacementContext context) =>
        peers.IsReplicated && await services.GetRequiredService<GroupSearch>().FindAsync(target.GrainIdentity.Key.ToString()!) is var broker
        && peers.Find(broker) is { } silo
            ? silo
            : context.LocalSilo;
}

/// <summary>
/// The grain directory of groups: it remembers nothing, for the reason that partitions' does not. A silo's death takes no entry of a
/// healthy group with it, and no entry of the dead silo's has to be cleared before its groups are coordinated elsewhere.
/// </summary>
/// <remarks>What it needs is looked up late: Orleans makes its directories before what they are made of.</remarks>
internal sealed class GroupDirectory(IServiceProvider services) : IGrainDirectory
{
    /// <summary>The name under which the grain asks for it.</summary>
    public const string Name = "omq-groups";

    /// <inheritdoc/>
    /// <remarks>An address on another silo means: not here, forward the calls to there.</remarks>
    public async Task<GrainAddress?> Register(GrainAddress address)
    {
        var peers = services.GetRequiredService<IBrokerPeers>();
        if (!peers.IsReplicated)
            return address;
        var broker = await services.GetRequiredService<GroupSearch>().FindAsync(address.GrainId.Key.ToString()!);
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
