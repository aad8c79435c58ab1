using Microsoft.Extensions.DependencyInjection;
using Orleans.Runtime.Hosting;
using Orleans.Storage;
using OrleansMq.Brokers;
using OrleansMq.Grains.Hosting;
using OrleansMq.Grains.Replication;
using OrleansMq.Grains.Storage;

namespace OrleansMq.Grains.Groups;

/// <summary>The services of consumer groups on a silo.</summary>
internal static class GroupServices
{
    /// <summary>Adds them.</summary>
    /// <param name="silo">The silo.</param>
    /// <param name="isReplicated">Whether it has other brokers beside it, and grain storage that they share.</param>
    public static ISiloBuilder AddGroups(this ISiloBuilder silo, bool isReplicated)
    {
        var services = silo.Services;
        services.AddSingleton<ActiveGroups>();
        services.AddParticipant<ActiveGroups>();
        silo.AddPlacementDirector<GroupPlacement, GroupPlacementDirector>();
        silo.AddGrainDirectory(GroupDirectory.Name, (provider, _) => new GroupDirectory(provider));
        if (!isReplicated)
        {
            services.AddSingleton<IGroupStores, FileGroupStores>();
            return silo;
        }
        services.AddSingleton<ILeadershipHandover>(provider => provider.GetRequiredService<ActiveGroups>());
        services.AddSingleton<IGroupStores>(provider => new IndexedGroupStores(
            new GrainStateStore(provider.GetRequiredKeyedService<IGrainStorage>(FileGrainStorage.ProviderName),
                GrainType.Create(GroupGrain.TypeName),
                OptionsOf(provider).TimeProvider), OptionsOf(provider).Log));
        services.AddSingleton<GroupServiceClient>();
        services.AddSingleton(provider => ActivatorUtilities.CreateInstance<GroupSearch>(provider,
            provider.GetRequiredService<SiloBroker>().Cluster!.AnswerTimeout,
            OptionsOf(provider).TimeProvider, OptionsOf(provider).Log));
        silo.AddGrainService<GroupService>();
        return silo;
    }

    private static BrokerOptions OptionsOf(IServiceProvider provider) => provider.GetRequiredService<SiloBroker>().Options;
}
