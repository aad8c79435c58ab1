using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.DependencyInjection.Extensions;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Options;
using Orleans.Configuration;
using Orleans.Runtime.Hosting;
using OrleansMq.Access;
using OrleansMq.Api;
using OrleansMq.Client;
using OrleansMq.Grains.Access;
using OrleansMq.Grains.Brokers;
using OrleansMq.Connections;

namespace Orleans.Hosting;

/// <summary>The OrleansMq client library over an Orleans cluster, for processes that are Orleans clients or silos.</summary>
public static class OrleansMqClientOrleansExtensions
{
    // A poll waits for at most this fraction of the response timeout. The other two thirds remain for the transfer.
    private const int ResponseTimeoutShare = 3;
    // The assembly of the brokers' grain classes, which this library does not refer to.
    private const string BrokerGrains = "OrleansMq.Grains";

    /// <summary>
    /// Registers <see cref="OrleansMqClient"/> over this Orleans client:
    /// <c>host.UseOrleansClient(client => client.UseLocalhostClustering().AddOrleansMqClient().AddProducer&lt;string, Order&gt;())</c>.
    /// Batches are sent to the silo that leads their partition, over connections that send and receive in large blocks. Orleans' own socket
    /// transport is replaced unless another transport is registered. The Orleans client is connected before other hosted services start.
    /// While no silo answers, the start waits and logs a warning each minute, unless <c>UseConnectionRetryFilter</c> says otherwise.
    /// </summary>
    /// <param name="client">The Orleans client.</param>
    /// <param name="configure">Sets the options for producers and readers that are created without any.</param>
    public static OrleansMqClientBuilder AddOrleansMqClient(this IClientBuilder client, Action<OrleansMqClientOptions>? configure = null)
    {
        ArgumentNullException.ThrowIfNull(client);
        client.Services.UseLargeBlocks(typeof(ClientConnectionOptions).Assembly);
        UseConnectionRetries(client.Services);
        return client.Services.AddOrleansMqClient(configure).UseOrleans();
    }

    /// <summary>
    /// Registers <see cref="OrleansMqClient"/> on a silo. If the silo is itself a broker (<c>AddOrleansMq()</c>), partitions that are
    /// active on it are called directly: no serialization, no hop. While no silo of the cluster is a broker, calls fail with a
    /// retriable <see cref="OrleansMq.BrokerException"/>, and a start waits that needs a topic or a login.
    /// </summary>
    /// <param name="silo">The silo.</param>
    /// <param name="configure">Sets the options for producers and readers that are created without any.</param>
    public static OrleansMqClientBuilder AddOrleansMqClient(this ISiloBuilder silo, Action<OrleansMqClientOptions>? configure = null)
    {
        ArgumentNullException.ThrowIfNull(silo);
        AddRoutes(silo);
        return silo.Services.AddOrleansMqClient(configure).UseOrleans();
    }

    /// <summary>
    /// Connects to the broker through the Orleans client or silo in the same container (an <see cref="IGrainFactory"/>), unless an
    /// <see cref="IBroker"/> is registered already: <c>services.AddOrleansMqClient().UseOrleans()</c>. Orleans, where it is registered by
    /// then, starts before other hosted services and stops after them, so that producers can still send what they hold.
    /// </summary>
    /// <param name="builder">The client.</param>
    public static OrleansMqClientBuilder UseOrleans(this OrleansMqClientBuilder builder)
    {
        ArgumentNullException.ThrowIfNull(builder);
        builder.Services.StartFirst(typeof(ClientConnectionOptions).Assembly);
        builder.Services.StartFirst(typeof(SiloMessagingOptions).Assembly);
        // On a broker's silo the client is a session of that broker, whichever of the two was registered first.
        builder.Services.TryAddSingleton<IBroker>(services => services.GetService<BrokerAccess>() is { } access
            ? access.Open(BrokerSession.InProcess).Broker
            : new GrainBroker(services.GetRequiredService<IGrainFactory>(), options: OptionsFor(ResponseTimeoutOf(services))));
        return builder;
    }

    /// <summary>
    /// Authenticates this Orleans client, or silo without a broker, at the brokers:
    /// <c>client.AddOrleansMqClient().UseLogin(new OrleansLogin { User = "billing", Password = password })</c>. Its requests then have the
    /// rights of the user, and not those of all Orleans clients. The start fails where the credentials are refused. What the process
    /// itself calls of the broker's grains, as <c>grains.GetTopic("orders")</c>, counts as the user's, too; calls to other grains carry
    /// nothing of it. On a silo that is itself a broker, and with brokers without access control, it does nothing.
    /// </summary>
    /// <param name="builder">The client, in an Orleans client or silo.</param>
    /// <param name="login">The credentials.</param>
    public static OrleansMqClientBuilder UseLogin(this OrleansMqClientBuilder builder, OrleansLogin login)
    {
        ArgumentNullException.ThrowIfNull(builder);
        ArgumentNullException.ThrowIfNull(login);
        login.Validate();
        if (builder.Services.Any(static service => service.ServiceType == typeof(ClientLogin)))
            throw new InvalidOperationException("A process has one login at the brokers, and this one has it already.");
        TicketedCalls.AddTo(builder.Services, static services => ClientLogin.IsBroker(services) ? null
            : new TicketedCalls(TicketedCalls.OfLoggedIn, services.GetRequiredService<ClientLogin>()));
        builder.Services.AddSingleton(services => new ClientLogin(login, services));
        builder.Services.AddSingleton<ILifecycleParticipant<IClusterClientLifecycle>>(static services =>
            services.GetRequiredService<ClientLogin>());
        builder.Services.AddSingleton<ILifecycleParticipant<ISiloLifecycle>>(static services =>
            services.GetRequiredService<ClientLogin>());
        return builder;
    }

    // Of a silo that is no broker, also for the clients that call the brokers' grains through it.
    private static void AddRoutes(ISiloBuilder silo)
    {
        var services = silo.Services;
        if (services.Any(static service => service.ServiceType == typeof(BrokerAccess) || service.ServiceType == typeof(BrokerRoutes)))
            return;
        var before = services.ToHashSet();
        silo.AddPlacementDirector<LeaderPlacement>(static _ => new BrokerPlacementDirector());
        silo.AddPlacementDirector<CoordinatorPlacement>(static _ => new BrokerPlacementDirector());
        silo.AddGrainDirectory(BrokerDirectories.Partitions, static (_, _) => new BrokerDirectory());
        silo.AddGrainDirectory(BrokerDirectories.Coordinators, static (_, _) => new BrokerDirectory());
        // Brokers alone host their grains, also those that Orleans may place anywhere. A program may have brokers and other silos.
        services.PostConfigure<GrainTypeOptions>(static types =>
            types.Classes.RemoveWhere(static type => type.Assembly.GetName().Name == BrokerGrains));
        services.AddSingleton(new BrokerRoutes([.. services.Where(service => !before.Contains(service))]));
    }

    // Instead of Orleans' own, which gives up after some attempts.
    private static void UseConnectionRetries(IServiceCollection services)
    {
        var registered = services.LastOrDefault(static service => service.ServiceType == typeof(IClientConnectionRetryFilter));
        if (registered is null || registered.ImplementationType?.Assembly == typeof(IClientConnectionRetryFilter).Assembly)
            services.Replace(ServiceDescriptor.Singleton<IClientConnectionRetryFilter>(static provider =>
                new ConnectionRetries(provider.GetRequiredService<ILoggerFactory>())));
    }

    private static GrainBrokerOptions OptionsFor(TimeSpan responseTimeout)
    {
        var options = new GrainBrokerOptions();
        var longest = responseTimeout / ResponseTimeoutShare;
        return longest < options.MaxWaitPerCall ? options with { MaxWaitPerCall = longest } : options;
    }

    private static TimeSpan ResponseTimeoutOf(IServiceProvider services) =>
        services.GetService<ILocalSiloDetails>() is null
            ? services.GetRequiredService<IOptions<ClientMessagingOptions>>().Value.ResponseTimeout
            : services.GetRequiredService<IOptions<SiloMessagingOptions>>().Value.ResponseTimeout;
}
