using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.DependencyInjection.Extensions;
using Microsoft.Extensions.Logging;
using Orleans.Runtime.Hosting;
using Orleans.Serialization.Serializers;
using Orleans.Storage;
using OrleansMq.Access;
using OrleansMq.Api;
using OrleansMq.Brokers;
using OrleansMq.Clusters;
using OrleansMq.Compression;
using OrleansMq.Connections;
using OrleansMq.Grains.Access;
using OrleansMq.Grains.Brokers;
using OrleansMq.Grains.Coordination;
using OrleansMq.Grains.Groups;
using OrleansMq.Grains.Hosting;
using OrleansMq.Grains.Partitions;
using OrleansMq.Grains.Replication;
using OrleansMq.Grains.Security;
using OrleansMq.Grains.Storage;
using OrleansMq.Grains.Topics;
using OrleansMq.Grains.Transactions;
using OrleansMq.Grains.VirtualHosts;
using OrleansMq.Hosting;
using OrleansMq.Partitions;

namespace Orleans.Hosting;

/// <summary>Makes a silo a broker.</summary>
public static class OrleansMqSiloBuilderExtensions
{
    /// <summary>
    /// Makes this silo a broker of its cluster: <c>silo.AddOrleansMq(options => options with { DataDirectory = "/var/lib/omq" })</c>. The
    /// data directory is opened and recovered before the silo becomes active, and closed after its grains are deactivated. This registers
    /// <see cref="IBroker"/>, which calls partitions that are active on this silo directly. The silo starts before other hosted services,
    /// and stops after them. Unless another transport is registered, Orleans
    /// clients are served by sockets that send and receive in large blocks. Gateways for other clients are added to what this returns.
    /// </summary>
    /// <param name="silo">The silo.</param>
    /// <param name="configure">Changes the defaults: <c>./data</c>, broker 0, every codec, the engine's lines in the silo's log under
    /// <c>OrleansMq</c>.</param>
    /// <exception cref="InvalidOperationException">It was called already.</exception>
    /// <remarks>If an option is out of its range, the silo's start fails with an <see cref="ArgumentException"/> that names it and the
    /// range. If the directory is locked, unwritable or of a newer format, the silo's start fails with a
    /// <see cref="DataDirectoryException"/>. If another silo of the cluster is a broker, it fails with a
    /// <see cref="SecondBrokerException"/>: several brokers share topics only by <see cref="BrokerClusterOptions"/>.</remarks>
    public static OrleansMqSiloBuilder AddOrleansMq(this ISiloBuilder silo, Func<BrokerOptions, BrokerOptions>? configure = null)
    {
        silo.AddBroker(configure, cluster: null);
        silo.Services.AddSingleton<BrokerPresenceClient>();
        silo.Services.AddSingleton<SoleBrokerCheck>();
        silo.Services.AddParticipant<SoleBrokerCheck>();
        silo.Services.AddSingleton<IClusterMetadata>(services => services.GetRequiredService<SiloBroker>().SoleMetadata!);
        silo.Services.AddGrainStorage(FileGrainStorage.ProviderName, (services, _) => new FileGrainStorage(
            services.GetRequiredService<SiloBroker>().State, StateDocuments.Json, services.GetRequiredService<IActivatorProvider>()));
        return new OrleansMqSiloBuilder(silo);
    }

    /// <summary>
    /// Makes this silo a broker of a replicated cluster:
    /// <code>
    /// silo.AddOrleansMq(options => options with { BrokerId = new BrokerId(1), DataDirectory = "/var/lib/omq" }, new BrokerClusterOptions
    /// {
    ///     PostgreSql = "Host=db;Database=omq;Username=omq;Password=...",
    /// });
    /// </code>
    /// <c>silo.ConfigureEndpoints</c> says where other silos and clients reach it. It sets the silo's name (<c>broker-1</c>), its
    /// cluster and service id, membership and grain storage in PostgreSQL, and failure detection. The start brings the database schema up
    /// to date. A silo that its cluster has declared dead ends its process with exit code <see cref="DeclaredDead.ExitCode"/>: let a
    /// supervisor restart it.
    /// </summary>
    /// <param name="silo">The silo.</param>
    /// <param name="configure">Changes the defaults, as without a cluster.</param>
    /// <param name="cluster">The cluster, and this broker in it.</param>
    /// <exception cref="ArgumentException">An option of the cluster is out of its range; the message names it.</exception>
    /// <exception cref="InvalidOperationException">It was called already.</exception>
    /// <remarks>The silo's start fails with an <see cref="ArgumentException"/> (an option of the broker is out of its range), an
    /// <see cref="InvalidOperationException"/> (there is neither a database nor a grain storage), a <see cref="DataDirectoryException"/>
    /// (also if the directory belongs to another broker or cluster), a <see cref="ClusterDatabaseException"/>, or a
    /// <see cref="BrokerIdTakenException"/>.</remarks>
    public static OrleansMqSiloBuilder AddOrleansMq(this ISiloBuilder silo, Func<BrokerOptions, BrokerOptions>? configure,
        BrokerClusterOptions cluster)
    {
        ArgumentNullException.ThrowIfNull(cluster);
        cluster.Validate();
        silo.AddBroker(configure, cluster);
        silo.AddReplication(cluster);
        return new OrleansMqSiloBuilder(silo);
    }

    private static void AddBroker(this ISiloBuilder silo, Func<BrokerOptions, BrokerOptions>? configure, BrokerClusterOptions? cluster)
    {
        if (silo.Services.Any(static service => service.ServiceType == typeof(SiloBroker)))
            throw new InvalidOperationException("AddOrleansMq was called already: call it once, with all options.");
        silo.Services.AddSingleton(services =>
        {
            if (cluster is not null)
                CheckStorage(services);
            return new SiloBroker(Configured(services, configure), cluster) { Outgoing = services.GetRequiredService<GrainBroker> };
        });
        silo.Services.AddSingleton<ILifecycleParticipant<ISiloLifecycle>>(services => services.GetRequiredService<SiloBroker>());
        silo.Services.TryAddSingleton(static services => services.GetRequiredService<SiloBroker>().Options.Log);
        silo.Services.AddSingleton(static services => Host(services));
        silo.Services.AddSingleton<SiloGateways>();
        silo.Services.AddParticipant<SiloGateways>();
        GatewayListeners.Replace(silo.Services, typeof(Silo).Assembly);
        silo.Services.StartFirst(typeof(Silo).Assembly);
        silo.AddGrainService<BrokerPresence>();
        silo.AddPartitions();
        silo.AddCoordinators(cluster);
        silo.Services.AddSingleton(services =>
            new GrainBroker(services.GetRequiredService<IGrainFactory>(), services.GetRequiredService<ILocalPartitions>(),
                metadata: services.GetService<ClusterImageCache>()));
        silo.Services.AddSingleton(services => new BrokerAccess(services.GetRequiredService<GrainBroker>(),
            services.GetRequiredService<ILocalPartitions>(), services.GetRequiredService<SiloSecurity>().Authorizer,
            services.GetRequiredService<SiloBroker>().Options.Meter, services.GetRequiredService<SiloBroker>().Options.Log,
            services.GetRequiredService<SiloSecurity>().Quotas));
        silo.Services.AddSingleton<SiloSecurity>();
        silo.Services.AddParticipant<SiloSecurity>();
        silo.Services.AddSingleton<GrainDoor>();
        SiloTickets.AddTo(silo.Services);
        silo.Services.AddSingleton<TransactionServices>();
        silo.Services.AddSingleton<SiloTransactionWatch>();
        silo.Services.AddParticipant<SiloTransactionWatch>();
        silo.Services.TryAddSingleton<IBroker>(services =>
            services.GetRequiredService<BrokerAccess>().Open(BrokerSession.InProcess).Broker);
    }

    private static HostedBroker Host(IServiceProvider services)
    {
        var broker = services.GetRequiredService<SiloBroker>();
        return new HostedBroker(broker.Options.BrokerId.Value, broker.Cluster?.ClusterId ?? broker.DescribeCluster().ClusterId,
            services.GetRequiredService<BrokerAccess>(), services.GetRequiredService<GrainBroker>(),
            services.GetRequiredService<IClusterMetadata>(),
            services.GetRequiredService<ILocalPartitions>())
        {
            LocalGroups = _ => new(services.GetRequiredService<ActiveCoordinators>().IdsOf(GroupGrain.TypeName)),
            Incarnation = broker.Cluster is null ? "" : services.GetRequiredService<ILocalSiloDetails>().SiloAddress.ToParsableString(),
            Peers = services.GetService<GatewayPeers>() ?? (IGatewayPeers)NoPeers.Instance,
            Security = services.GetRequiredService<SiloSecurity>().Users,
            Tickets = services.GetRequiredService<SiloSecurity>().Tickets,
            OpenVirtualHosts = broker.Cluster is null ? broker.OpenVirtualHostsAsync
                : services.GetRequiredService<VirtualHostsFollower>().OpenAsync,
        };
    }

    private static BrokerOptions Configured(IServiceProvider services, Func<BrokerOptions, BrokerOptions>? configure)
    {
        var defaults = new BrokerOptions
        {
            DataDirectory = "./data",
            Codecs = StandardCodecs.All,
            Log = new EngineLogAdapter(services.GetRequiredService<ILoggerFactory>()),
        };
        var options = configure?.Invoke(defaults) ?? defaults;
        options.Validate();
        return options;
    }

    // When the silo starts, since the application may register its storage after the broker.
    private static void CheckStorage(IServiceProvider services)
    {
        if (!services.GetRequiredService<IServiceProviderIsKeyedService>().IsKeyedService(typeof(IGrainStorage),
            FileGrainStorage.ProviderName))
            throw new InvalidOperationException("The brokers of a cluster have no store for its state. Set "
                + $"BrokerClusterOptions.PostgreSql, or register a grain storage named '{FileGrainStorage.ProviderName}', with "
                + "compare-and-swap, that all of them share.");
    }
}
