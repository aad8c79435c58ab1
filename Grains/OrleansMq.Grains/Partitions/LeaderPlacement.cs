using Microsoft.Extensions.DependencyInjection;
using Orleans.GrainDirectory;
using Orleans.Placement;
using Orleans.Runtime.Placement;
using OrleansMq.Grains.Brokers;

namespace OrleansMq.Grains.Partitions;

/// <summary>Places a partition's grain on the silo of its current or chosen leader.</summary>
[AttributeUsage(AttributeTargets.Class)]
internal sealed class LeaderPlacementAttribute() : PlacementAttribute(new LeaderPlacement());

/// <summary>
/// Decides where a partition's grain is activated. If no broker leads or can lead, that is this silo: the activation answers with the
/// reason and a retriable error, then deactivates.
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
/// The grain directory of partitions. It stores nothing: leaders are found by asking brokers, not by registration. Orleans' own directory
/// would deactivate healthy leaders whose entries a dead silo kept. A caller with an outdated address may cause a second activation; it
/// looks up the leader first and forwards its calls.
/// </summary>
/// <remarks>It resolves its dependencies on first use: Orleans creates directories before those exist.</remarks>
internal sealed class PartitionDirectory(IServiceProvider services) : IGrainDirectory
{
    private IBrokerPeers Peers => services.GetRequiredService<IBrokerPeers>();

    /// <inheritdoc/>
    /// <remarks>An address on another silo makes Orleans forward the calls to it.</remarks>
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
        // Keep the timestamp of a finding that is already stored.
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
