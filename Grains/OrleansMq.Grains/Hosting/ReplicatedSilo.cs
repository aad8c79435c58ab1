using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.DependencyInjection.Extensions;
using Microsoft.Extensions.Options;
using Npgsql;
using Orleans.Configuration;
using OrleansMq.Grains.Partitions;
using OrleansMq.Grains.Replication;
using OrleansMq.Grains.Storage;
using OrleansMq.Grains.Topics;

namespace OrleansMq.Grains.Hosting;

/// <summary>What a silo of a replicated cluster has beyond a broker's.</summary>
internal static class ReplicatedSilo
{
    private const int MaxConnections = 16;

    /// <summary>Adds it.</summary>
    public static void AddReplication(this ISiloBuilder silo, BrokerClusterOptions cluster)
    {
        var services = silo.Services;
        services.AddSingleton(cluster);
        services.Configure<ClusterOptions>(options => (options.ClusterId, options.ServiceId) = (cluster.ClusterId, cluster.ClusterId));
        // Last of all: whatever else names silos, the others know brokers by this name.
        services.AddSingleton<IPostConfigureOptions<SiloOptions>, BrokerName>();
        services.Configure<ClusterMembershipOptions>(Liveness);
        if (cluster.Endpoints is { } endpoints)
            services.Configure<EndpointOptions>(options => Apply(endpoints, options));

        if (cluster.PostgreSql is { } given)
        {
            var postgreSql = Bounded(given, cluster.ClusterId);
            silo.UsePostgreSqlClustering(postgreSql);
            services.AddPostgreSqlGrainStorage(FileGrainStorage.ProviderName, postgreSql, StateDocuments.Json);
            services.AddSingleton(provider => new ClusterDatabase(postgreSql, cluster.StartTimeout,
                provider.GetRequiredService<SiloBroker>().Options.Log));
            services.AddParticipant<ClusterDatabase>();
            services.AddSingleton(provider => new JoinTurn(postgreSql, cluster.ClusterId,
                provider.GetRequiredService<SiloBroker>().Options.Log));
            services.AddParticipant<JoinTurn>();
            services.AddSingleton(provider => new DatabaseWatch(provider, postgreSql, provider.GetRequiredService<ILocalSiloDetails>(),
                provider.GetRequiredService<SiloBroker>().Options.Log, provider.GetRequiredService<SiloBroker>().Options.TimeProvider));
            services.AddParticipant<DatabaseWatch>();
        }
        services.AddSingleton(provider => new ClusterMembership(provider.GetRequiredService<IClusterMembershipService>(),
            provider.GetRequiredService<SiloBroker>().Options.Log));
        services.AddParticipant<ClusterMembership>();
        if (cluster.WatchProcesses)
        {
            services.AddSingleton<Obituaries>();
            services.AddSingleton(provider => new ProcessWatcher(provider.GetRequiredService<ClusterMembership>(),
                provider.GetRequiredService<IClusterMembershipService>(), provider.GetRequiredService<Obituaries>(),
                provider.GetRequiredService<ILocalSiloDetails>(),
                provider.GetRequiredService<SiloBroker>().Options.Log));
            services.AddParticipant<ProcessWatcher>();
        }
        services.AddSingleton<BrokerIdCheck>();
        services.AddParticipant<BrokerIdCheck>();
        services.AddSingleton(provider => new DeclaredDead(provider.GetRequiredService<SiloBroker>().Options.Log, cluster.Exit));
        services.EndByDeclaredDead();
        services.AddSingleton<SiloReplicas>();
        services.AddParticipant<SiloReplicas>();
        services.AddSingleton<ReplicaServices>();
        services.AddSingleton<LeadershipExit>();
        services.AddParticipant<LeadershipExit>();
        silo.AddGrainService<ReplicaService>();
        services.AddCatalogue();
        silo.AddPartitionLeadership();
    }

    // A host that has its own way out, as test clusters do, keeps it.
    private static void EndByDeclaredDead(this IServiceCollection services)
    {
        var present = services.LastOrDefault(service => service.ServiceType == typeof(IFatalErrorHandler));
        if (present is null || present.ImplementationType?.Assembly == typeof(Silo).Assembly)
            services.Replace(ServiceDescriptor.Singleton<IFatalErrorHandler>(provider => provider.GetRequiredService<DeclaredDead>()));
    }

    /// <summary>Lets a service take part in the silo's start and stop.</summary>
    public static void AddParticipant<T>(this IServiceCollection services) where T : class, ILifecycleParticipant<ISiloLifecycle> =>
        services.AddSingleton<ILifecycleParticipant<ISiloLifecycle>>(provider => new Participant(provider.GetRequiredService<T>()));

    /// <summary>
    /// Orleans' probes find the silo that hangs or is cut off; a killed process is found by <see cref="ProcessWatcher"/>. So probes need
    /// not be fast, and must not take a busy machine for a dead one: six seconds without any answer, and the word of another silo where
    /// there is one.
    /// </summary>
    private static void Liveness(ClusterMembershipOptions options)
    {
        options.ProbeTimeout = TimeSpan.FromSeconds(2);
        // Releases of Orleans that adapt the timeout to what they measure know these bounds. Without them a silo that hangs would have four
        // times as long, and one that is busy all of a sudden half.
        typeof(ClusterMembershipOptions).GetProperty("MaxProbeTimeout")?.SetValue(options, options.ProbeTimeout);
        typeof(ClusterMembershipOptions).GetProperty("MinProbeTimeout")?.SetValue(options, options.ProbeTimeout);
        options.NumMissedProbesLimit = 3;
        options.EnableIndirectProbes = true;
        options.ExtendProbeTimeoutDuringDegradation = true;
        options.NumVotesForDeathDeclaration = 2;
        // Gossip tells of changes at once; this is for the gossip that was lost.
        options.TableRefreshTimeout = TimeSpan.FromSeconds(5);
        options.IAmAliveTablePublishTimeout = BrokerIdCheck.SignOfLife;
        options.NumMissedTableIAmAliveLimit = 6;
        options.MaxJoinAttemptTime = TimeSpan.FromMinutes(2);
    }

    /// <summary>
    /// What Npgsql pools by itself, a hundred connections a silo, three silos would take from a server that has a hundred for all. At a
    /// failover hundreds of partitions want one at once; the few they share do their short statements in a moment.
    /// </summary>
    /// <exception cref="ClusterDatabaseException">It is no connection string.</exception>
    internal static string Bounded(string connectionString, string clusterId)
    {
        try
        {
            var settings = new NpgsqlConnectionStringBuilder(connectionString);
            if (!settings.ShouldSerialize("Maximum Pool Size"))
                settings.MaxPoolSize = MaxConnections;
            if (string.IsNullOrEmpty(settings.ApplicationName))
                settings.ApplicationName = $"orleansmq {clusterId}";
            return settings.ConnectionString;
        }
        catch (ArgumentException malformed)
        {
            throw ClusterDatabase.Malformed(malformed);
        }
    }

    private static void Apply(SiloEndpoints endpoints, EndpointOptions options)
    {
        options.AdvertisedIPAddress = endpoints.Address;
        options.SiloPort = endpoints.SiloPort;
        options.GatewayPort = endpoints.GatewayPort;
        options.SiloListeningEndpoint = endpoints.SiloListener;
        options.GatewayListeningEndpoint = endpoints.GatewayListener;
    }

    // What is registered under two types is disposed of twice; this stands in for the second.
    private sealed class Participant(ILifecycleParticipant<ISiloLifecycle> participant) : ILifecycleParticipant<ISiloLifecycle>
    {
        public void Participate(ISiloLifecycle lifecycle) => participant.Participate(lifecycle);
    }

    private sealed class BrokerName(SiloBroker broker) : IPostConfigureOptions<SiloOptions>
    {
        public void PostConfigure(string? name, SiloOptions options) =>
            options.SiloName = ClusterMembership.NameOf(broker.Options.BrokerId.Value);
    }
}
