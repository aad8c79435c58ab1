using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.DependencyInjection.Extensions;
using Orleans.Runtime.Hosting;
using Orleans.Storage;
using OrleansMq.Brokers;
using OrleansMq.Grains.Brokers;
using OrleansMq.Grains.Hosting;
using OrleansMq.Grains.Replication;
using OrleansMq.Grains.Storage;
using OrleansMq.Partitions;

namespace OrleansMq.Grains.Partitions;

/// <summary>Registers the services of partitions on a silo.</summary>
internal static class PartitionServices
{
    /// <summary>Adds what every silo has: placement, and the partitions served here.</summary>
    public static ISiloBuilder AddPartitions(this ISiloBuilder silo)
    {
        var services = silo.Services;
        BrokerRoutes.RemoveFrom(services);
        services.AddSingleton<ServedPartitions>();
        services.AddSingleton<ILocalPartitions>(provider => provider.GetRequiredService<ServedPartitions>());
        // A cluster's are in its database.
        services.TryAddSingleton<IPartitionStates>(provider =>
            new PartitionStates(provider.GetRequiredKeyedService<IGrainStorage>(FileGrainStorage.ProviderName)));
        services.TryAddSingleton<IBrokerPeers, SoleBroker>();
        services.AddSingleton(provider => new LeaderFindings(OptionsOf(provider).TimeProvider));
        services.AddSingleton(provider => new LeaderSearch(provider.GetRequiredService<IPartitionStates>(),
            provider.GetRequiredService<IBrokerPeers>(),
            provider.GetRequiredService<SiloBroker>().Cluster?.AnswerTimeout ?? BrokerClusterOptions.DefaultAnswerTimeout,
            OptionsOf(provider).TimeProvider, OptionsOf(provider).Log));
        silo.AddPlacementDirector<LeaderPlacement, LeaderPlacementDirector>();
        silo.AddGrainDirectory(BrokerDirectories.Partitions, (provider, _) => new PartitionDirectory(provider));
        return silo;
    }

    /// <summary>Adds leadership, failover and handover of replicated partitions.</summary>
    public static ISiloBuilder AddPartitionLeadership(this ISiloBuilder silo)
    {
        var services = silo.Services;
        services.AddSingleton<ReplicatedBrokers>();
        services.Replace(ServiceDescriptor.Singleton<IBrokerPeers>(provider => provider.GetRequiredService<ReplicatedBrokers>()));
        services.AddSingleton<ILocalReplicas>(provider => provider.GetRequiredService<ReplicatedBrokers>());
        services.AddSingleton(provider => ActivatorUtilities.CreateInstance<PartitionLeadership>(provider, OptionsOf(provider).TimeProvider,
            OptionsOf(provider).Log));
        services.AddSingleton(provider => ActivatorUtilities.CreateInstance<FailoverWatch>(provider, OptionsOf(provider).TimeProvider,
            OptionsOf(provider).Log));
        services.AddParticipant<FailoverWatch>();
        services.AddSingleton<LeaderServiceClient>();
        services.AddSingleton(provider => ActivatorUtilities.CreateInstance<LeadershipHandover>(provider, OptionsOf(provider).TimeProvider,
            OptionsOf(provider).Log));
        services.AddSingleton<ILeadershipHandover>(provider => provider.GetRequiredService<LeadershipHandover>());
        silo.AddGrainService<LeaderService>();
        return silo;
    }

    private static BrokerOptions OptionsOf(IServiceProvider provider) => provider.GetRequiredService<SiloBroker>().Options;
}
