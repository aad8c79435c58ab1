using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.DependencyInjection.Extensions;
using Microsoft.Extensions.Options;
using Npgsql;
using Orleans.Configuration;
using OrleansMq.Grains.Partitions;
using OrleansMq.Grains.PostgreSql;
using OrleansMq.Grains.Replication;
using OrleansMq.Grains.Storage;
using OrleansMq.Grains.Topics;
using OrleansMq.Grains.VirtualHosts;

namespace OrleansMq.Grains.Hosting;

/// <summary>The additional services of a silo in a replicated cluster.</summary>
internal static class ReplicatedSilo
{
    private const int MaxConnections = 16;

    /// <summary>Adds the services.</summary>
    public static void AddReplication(this ISiloBuilder silo, BrokerClusterOptions cluster)
    {
        var services = silo.Services;
        services.AddSingleton(cluster);
        services.Configure<ClusterOptions>(options => (options.ClusterId, options.ServiceId) = (cluster.ClusterId, cluster.ClusterId));
        // After all other configuration: the other brokers know this one by this name.
        services.AddSingleton<IPostConfigureOptions<SiloOptions>, BrokerName>();
        services.Configure<ClusterMembershipOptions>(Liveness);
        if (cluster.Endpoints is { } endpoints)
            services.Configure<EndpointOptions>(options => Apply(endpoints, options));

        if (cluster.PostgreSql is { } given)
        {
            var postgreSql = Bounded(given, cluster.ClusterId);
            silo.UsePostgreSqlClustering(postgreSql);
            services.AddPostgreSqlGrainStorage(FileGrainStorage.ProviderName, postgreSql, StateDocuments.Json);
            services.AddSingleton<IPartitionStates>(new PostgreSqlPartitionStates(postgreSql, cluster.ClusterId));
            services.AddSingleton(provider => new ClusterDatabase(postgreSql, cluster.StartTimeout,
                provider.GetRequiredService<SiloBroker>().Options.Log));
            services.AddParticipant<ClusterDatabase>();
            services.AddSingleton(provider => new JoinLock(postgreSql, cluster.ClusterId,
                provider.GetRequiredService<SiloBroker>().Options.Log));
            services.AddParticipant<JoinLock>();
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
                provider.GetRequiredService<ILocalSiloDetails>(), provider.GetRequiredService<SiloBroker>().Options.Log));
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
        services.AddVirtualHosts();
        silo.AddPartitionLeadership();
    }

    // A host with its own fatal error handler, such as a test cluster, keeps it.
    private static void EndByDeclaredDead(this IServiceCollection services)
    {
        var present = services.LastOrDefault(service => service.ServiceType == typeof(IFatalErrorHandler));
        if (present is null || present.ImplementationType?.Assembly == typeof(Silo).Assembly)
            services.Replace(ServiceDescriptor.Singleton<IFatalErrorHandler>(provider => provider.GetRequiredService<DeclaredDead>()));
    }

    /// <summary>Adds a service to the silo's lifecycle.</summary>
    public static void AddParticipant<T>(this IServiceCollection services) where T : class, ILifecycleParticipant<ISiloLifecycle> =>
        services.AddSingleton<ILifecycleParticipant<ISiloLifecycle>>(provider => new Participant(provider.GetRequiredService<T>()));

    /// <summary>
    /// Orleans' probes detect a silo that hangs or is cut off; <see cref="ProcessWatcher"/> detects a killed process. So probes may be
    /// slow, and must not take a busy machine for a dead one: six seconds without any answer, and the vote of another silo if there is one.
    /// </summary>
    private static void Liveness(ClusterMembershipOptions options)
    {
        options.ProbeTimeout = TimeSpan.FromSeconds(2);
        // Some releases of Orleans adapt the probe timeout to measurements and have these bounds. Without them, detecting a silo that hangs
        // could take four times as long, and a suddenly busy silo could have half the time.
        typeof(ClusterMembershipOptions).GetProperty("MaxProbeTimeout")?.SetValue(options, options.ProbeTimeout);
        typeof(ClusterMembershipOptions).GetProperty("MinProbeTimeout")?.SetValue(options, options.ProbeTimeout);
        options.NumMissedProbesLimit = 3;
        options.EnableIndirectProbes = true;
        options.ExtendProbeTimeoutDuringDegradation = true;
        options.NumVotesForDeathDeclaration = 2;
        // Gossip spreads changes at once; this covers lost gossip.
        options.TableRefreshTimeout = TimeSpan.FromSeconds(5);
        options.IAmAliveTablePublishTimeout = BrokerIdCheck.SignOfLife;
        options.NumMissedTableIAmAliveLimit = 6;
        options.MaxJoinAttemptTime = TimeSpan.FromMinutes(2);
    }

    /// <summary>
    /// Bounds the connection pool. Npgsql's default of a hundred connections is too much for three silos on a server that allows a hundred
    /// in total. In a failover hundreds of partitions want a connection at once, and share these few for their short statements.
    /// </summary>
    /// <exception cref="ClusterDatabaseException">The connection string is malformed.</exception>
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

    // A service that is registered under two types would be disposed of twice; this wrapper takes the second registration.
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
