using Microsoft.Extensions.DependencyInjection;
using Orleans.Runtime.Hosting;
using Orleans.Storage;
using OrleansMq.Brokers;
using OrleansMq.Coordination;
using OrleansMq.Grains.Hosting;
using OrleansMq.Grains.Replication;
using OrleansMq.Grains.Storage;

namespace OrleansMq.Grains.Coordination;

/// <summary>The services of coordinators on a silo.</summary>
internal static class CoordinatorServices
{
    /// <summary>Adds what all kinds of coordinators share.</summary>
    /// <param name="silo">The silo.</param>
    /// <param name="isReplicated">Whether it has other brokers beside it, and grain storage that they share.</param>
    public static ISiloBuilder AddCoordinators(this ISiloBuilder silo, bool isReplicated)
    {
        var services = silo.Services;
        services.AddSingleton<ActiveCoordinators>();
        services.AddParticipant<ActiveCoordinators>();
        silo.AddPlacementDirector<CoordinatorPlacement, CoordinatorPlacementDirector>();
        silo.AddGrainDirectory(CoordinatorDirectory.Name, (provider, _) => new CoordinatorDirectory(provider));
        if (!isReplicated)
            return silo;
        services.AddSingleton<ILeadershipHandover>(provider => provider.GetRequiredService<ActiveCoordinators>());
        services.AddSingleton<CoordinatorServiceClient>();
        services.AddSingleton(provider => ActivatorUtilities.CreateInstance<CoordinatorSearch>(provider,
            provider.GetRequiredService<SiloBroker>().Cluster!.AnswerTimeout,
            OptionsOf(provider).TimeProvider, OptionsOf(provider).Log));
        return silo.AddGrainService<CoordinatorService>();
    }

    /// <summary>Adds a kind of coordinator. Its grain gets its documents as the <see cref="ICoordinatorStores"/> under the grain's
    /// type.</summary>
    /// <param name="silo">The silo.</param>
    /// <param name="kind">The kind.</param>
    /// <param name="grainType">The type of its grains.</param>
    /// <param name="isReplicated">As in <see cref="AddCoordinators"/>.</param>
    public static ISiloBuilder AddCoordinatorKind(this ISiloBuilder silo, CoordinatorKind kind, string grainType, bool isReplicated)
    {
        silo.Services.AddKeyedSingleton<ICoordinatorStores>(grainType, (provider, _) => isReplicated
            ? new IndexedCoordinatorStores(kind,
                new GrainStateStore(provider.GetRequiredKeyedService<IGrainStorage>(FileGrainStorage.ProviderName),
                    GrainType.Create(grainType), OptionsOf(provider).TimeProvider),
                OptionsOf(provider).Log)
            : new FileCoordinatorStores(kind, provider.GetRequiredService<SiloBroker>()));
        return silo;
    }

    private static BrokerOptions OptionsOf(IServiceProvider provider) => provider.GetRequiredService<SiloBroker>().Options;
}
