using Microsoft.Extensions.DependencyInjection;
using Orleans.GrainDirectory;
using Orleans.Placement;
using Orleans.Runtime.Placement;

namespace OrleansMq.Grains.Partitions;

/// <summary>A partition's grain is placed where its leader is, or is to be.</summary>
[AttributeUsage(AttributeTargets.Class)]
internal sealed class LeaderPlacementAttribute() : PlacementAttribute(new LeaderPlacement());

/// <summary>See <see cref="LeaderPlacementAttribute"/>.</summary>
internal sealed class LeaderPlacement : PlacementStrategy;

/// <summary>
/// Decides where a partition's grain is to be active. Where nobody leads and nobody can, that is this silo: its activation says why, as an
/// answer that is to be sent again, and goes.
/// </summary>
internal sealed class LeaderPlacementDirector(IServiceProvider services, LeaderSearch search, LeaderFindings findings, IBrokerPeers peers)
    : IPlacementDirector
{
    /// <inheritdoc/>
    public async Task<SiloAddress> OnAddActivation(PlacementStrategy strategy, PlacementTarget target, IPlacementContext context)
    {
        if (!peers.IsReplicated || !LeaderFindings.TryParse(target.GrainIdentity, out var key))
            return context.LocalSilo;
        if (services.GetService<ILocalReplicas>()?.LeadsHere(key) == true)
            return context.LocalSilo;
        var found = findings.Peek(key) ?? await search.FindAsync(key);
        return peers.Find(found.Choice.Broker) ?? context.LocalSilo;
    }
}

/// <summary>
/// The grain directory of partitions: it remembers nothing, since leaders are found by asking, not by what was registered. Orleans' own
/// directory would deactivate the healthy leaders whose entry the silo that died had kept, and lets callers with old knowledge make a
/// second activation on the silo that they remember; here that activation learns who leads before it begins, and sends its calls on.
/// </summary>
/// <remarks>What it needs is looked up late: Orleans makes its directories before what they are made of.</remarks>
internal sealed class PartitionDirectory(IServiceProvider services) : IGrainDirectory
{
    /// <summary>The name under which the grain asks for it.</summary>
    public const string Name = "omq-partitions";

    private IBrokerPeers Peers => services.GetRequiredService<IBrokerPeers>();

    /// <inheritdoc/>
    /// <remarks>An address on another silo means: not here, forward the calls to there.</remarks>
    public async Task<GrainAddress?> Register(GrainAddress address)
    {
        if (!Peers.IsReplicated || !LeaderFindings.TryParse(address.GrainId, out var key)
            || services.GetService<ILocalReplicas>()?.LeadsHere(key) == true)
            return address;
        var findings = services.GetRequiredService<LeaderFindings>();
        var known = findings.Peek(key);
        var found = known ?? await services.GetRequiredService<LeaderSearch>().FindAsync(key);
        if (found.Choice.Broker != Peers.Self && Peers.Find(found.Choice.Broker) is { } elsewhere)
        {
            return new GrainAddress
            {
                GrainId = address.GrainId,
                SiloAddress = elsewhere,
                ActivationId = ActivationId.NewId(),
                MembershipVersion = address.MembershipVersion,
            };
        }
        // One that is there already grows no younger.
        if (known is null)
            findings.Put(key, found);
        return address;
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
