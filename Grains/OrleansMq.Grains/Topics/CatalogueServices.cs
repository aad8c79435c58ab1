using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.DependencyInjection.Extensions;
using OrleansMq.Clusters;
using OrleansMq.Grains.Hosting;
using OrleansMq.Grains.Replication;

namespace OrleansMq.Grains.Topics;

/// <summary>The catalogue's services on a silo of a replicated cluster: the pushed metadata, and this broker's reports to the cluster's
/// grain.</summary>
internal static class CatalogueServices
{
    /// <summary>Adds the services.</summary>
    public static void AddCatalogue(this IServiceCollection services)
    {
        services.AddSingleton<ClusterImageCache>();
        services.AddSingleton<IClusterMetadata>(provider => provider.GetRequiredService<ClusterImageCache>());
        services.TryAddSingleton<IClusterImageSink>(provider => provider.GetRequiredService<ClusterImageCache>());
        services.TryAddSingleton<IReplicaSpecs>(provider => provider.GetRequiredService<ClusterImageCache>());
        services.AddSingleton<LeadershipReports>();
        services.AddSingleton<ILeadershipReports>(provider => provider.GetRequiredService<LeadershipReports>());
        services.AddParticipant<LeadershipReports>();
        services.AddSingleton<ControllerSeat>();
        services.AddSingleton<ClusterLink>();
        services.AddParticipant<ClusterLink>();
        services.AddSingleton<ReplicaCleanup>();
        services.AddParticipant<ReplicaCleanup>();
    }
}
