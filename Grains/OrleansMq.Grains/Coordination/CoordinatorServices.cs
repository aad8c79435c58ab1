using Microsoft.Extensions.DependencyInjection;
using Orleans.Runtime.Hosting;
using OrleansMq.Brokers;
using OrleansMq.Connections;
using OrleansMq.Grains.Brokers;
using OrleansMq.Grains.Hosting;
using OrleansMq.Grains.Replication;

namespace OrleansMq.Grains.Coordination;

/// <summary>The services of coordinators on a silo.</summary>
internal static class CoordinatorServices
{
    /// <summary>Adds what all kinds of coordinators share.</summary>
    /// <param name="silo">The silo.</param>
    /// <param name="cluster">The cluster, whose brokers share a grain storage; null for a silo alone.</param>
    public static ISiloBuilder AddCoordinators(this ISiloBuilder silo, BrokerClusterOptions? cluster)
    {
        var services = silo.Services;
        services.AddSingleton<CoordinatorDocuments>();
        services.AddSingleton<ActiveCoordinators>();
        services.AddParticipant<ActiveCoordinators>();
        services.AddSingleton<GoneCallers>();
        services.AddParticipant<GoneCallers>();
        services.AddSingleton<IGatewayConnections>(static provider => provider.GetRequiredService<GoneCallers>());
        silo.AddPlacementDirector<CoordinatorPlacement, CoordinatorPlacementDirector>();
        silo.AddGrainDirectory(BrokerDirectories.Coordinators, (provider, _) => new CoordinatorDirectory(provider));
        if (cluster is null)
            return silo;
        services.AddSingleton<ILeadershipHandover>(provider => provider.GetRequiredService<ActiveCoordinators>());
        services.AddSingleton<CoordinatorServiceClient>();
        services.AddSingleton(provider => ActivatorUtilities.CreateInstance<CoordinatorSearch>(provider,
            provider.GetRequiredService<SiloBroker>().Cluster!.AnswerTimeout,
            OptionsOf(provider).TimeProvider, OptionsOf(provider).Log));
        if (cluster.Rehearses)
        {
            services.AddSingleton<CoordinatorRehearsal>();
            services.AddParticipant<CoordinatorRehearsal>();
        }
        return silo.AddGrainService<CoordinatorService>();
    }

    private static BrokerOptions OptionsOf(IServiceProvider provider) => provider.GetRequiredService<SiloBroker>().Options;
}
