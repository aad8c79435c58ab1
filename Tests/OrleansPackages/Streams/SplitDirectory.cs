using System.Collections.Concurrent;
using Orleans.GrainDirectory;
using Orleans.Runtime.Hosting;

namespace OrleansMq.Tests.OrleansPackages.Streams;

/// <summary>A grain directory of the silos of one cluster. While it is split each silo sees its own registrations alone, so that a grain
/// has an activation for each silo that looks for it. Activations from a split stay when it is over.</summary>
internal sealed class SplitDirectory
{
    /// <summary>The name by which grain classes choose it.</summary>
    public const string Name = "split";

    private readonly ConcurrentDictionary<(string View, GrainId Grain), GrainAddress> _registered = [];

    /// <summary>Whether each silo sees its own registrations alone.</summary>
    public bool IsSplit { get; set; }

    public void AddTo(ISiloBuilder silo) => silo.AddGrainDirectory(Name,
        (services, _) => new OfSilo(this, (ILocalSiloDetails)services.GetService(typeof(ILocalSiloDetails))!));

    private sealed class OfSilo(SplitDirectory directory, ILocalSiloDetails silo) : IGrainDirectory
    {
        private string View => directory.IsSplit ? silo.Name : "";

        public Task<GrainAddress?> Register(GrainAddress address) =>
            Task.FromResult<GrainAddress?>(directory._registered.GetOrAdd((View, address.GrainId), address));

        public Task<GrainAddress?> Register(GrainAddress address, GrainAddress? previousAddress) =>
            Task.FromResult<GrainAddress?>(directory._registered.AddOrUpdate((View, address.GrainId), address,
                (_, found) => previousAddress is not null && previousAddress.Matches(found) ? address : found));

        public Task<GrainAddress?> Lookup(GrainId grainId) =>
            Task.FromResult(directory._registered.GetValueOrDefault((View, grainId)));

        public Task Unregister(GrainAddress address)
        {
            foreach (var entry in directory._registered.Where(entry => entry.Value.Matches(address)))
                directory._registered.TryRemove(entry);
            return Task.CompletedTask;
        }

        public Task UnregisterSilos(List<SiloAddress> siloAddresses)
        {
            foreach (var entry in directory._registered.Where(entry => siloAddresses.Contains(entry.Value.SiloAddress!)))
                directory._registered.TryRemove(entry);
            return Task.CompletedTask;
        }
    }
}
