using Orleans.GrainDirectory;

namespace OrleansMq.Grains.Brokers;

/// <summary>The directory of a broker's grains on a silo without a broker. It knows none: brokers find them.</summary>
internal sealed class BrokerDirectory : IGrainDirectory
{
    /// <inheritdoc/>
    public Task<GrainAddress?> Register(GrainAddress address) =>
        throw new InvalidOperationException($"Grain {address.GrainId} of a broker is activated on a silo that is none.");

    /// <inheritdoc/>
    public Task<GrainAddress?> Register(GrainAddress address, GrainAddress? previousAddress) => Register(address);

    /// <inheritdoc/>
    public Task Unregister(GrainAddress address) => Task.CompletedTask;

    /// <inheritdoc/>
    public Task<GrainAddress?> Lookup(GrainId grainId) => Task.FromResult<GrainAddress?>(null);

    /// <inheritdoc/>
    public Task UnregisterSilos(List<SiloAddress> siloAddresses) => Task.CompletedTask;
}
