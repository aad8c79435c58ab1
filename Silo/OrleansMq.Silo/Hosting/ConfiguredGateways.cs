using System.Net;
using OrleansMq.Gateways.Amqp;
using OrleansMq.Gateways.Amqp.Management;
using OrleansMq.Gateways.Http;
using OrleansMq.Gateways.Kafka;
using OrleansMq.Hosting;
using OrleansMq.Silo.Configuration;

namespace OrleansMq.Silo.Hosting;

/// <summary>The gateways that the settings ask for, in the order in which they are started.</summary>
internal sealed class ConfiguredGateways : IBrokerBuilder, IDisposable
{
    // They are few, and share the files that are kept in reserve.
    private const int MaxManagers = 64;

    private readonly List<IGateway> _all = [];
    private readonly ServiceProvider _services;

    /// <param name="settings">What the operator configured.</param>
    /// <param name="files">The connections that each may have.</param>
    /// <param name="flavour">The host's name in the metrics.</param>
    /// <param name="loggers">Where log lines go.</param>
    public ConfiguredGateways(BrokerSettings settings, OpenFiles files, string flavour, ILoggerFactory loggers)
    {
        _services = new ServiceCollection().AddSingleton(loggers).AddSingleton<IEnumerable<IGateway>>(_all).BuildServiceProvider();
        var tls = settings.ToTls();
        this.AddHttp(options => options with
        {
            Listen = EndPointOf(settings.Http),
            Tls = settings.Http.IsSecure ? tls : null,
            Hosts = HostsOf(settings),
            MaxConnections = files.Http,
            DrainTimeout = settings.DrainTimeout,
            DataDirectory = settings.DataDirectory,
            MinFreeBytes = settings.MinFreeBytes,
            MetricsAreOpen = settings.OpenMetrics,
            Flavour = flavour,
        });
        Http = _all.OfType<HttpGateway>().Single();
        if (settings.Kafka is { } kafka)
            this.AddKafka(options => options with
            {
                Listen = EndPointOf(kafka),
                Listeners = [.. settings.KafkaListeners.Select(static one => new KafkaListener
                {
                    Name = one.Name,
                    Listen = EndPointOf(one.Listen),
                    Protocol = one.Protocol,
                    Advertised = one.Advertised,
                })],
                Tls = settings.KafkaListeners.Any(static one => one.Protocol.UsesTls()) ? tls : null,
                Advertised = settings.KafkaAdvertised,
                AutoCreateTopics = settings.AutoCreateTopics,
                MaxConnections = files.Kafka,
                MaxConnectionsPerAddress = settings.KafkaMaxConnectionsPerAddress is > 0 and var most ? most : int.MaxValue,
                MaxInFlightBytes = settings.KafkaMaxInFlightBytes,
                Loops = settings.KafkaLoops,
                MaxReauthentication = settings.KafkaMaxReauthentication,
                Log = new EngineLogAdapter(loggers.CreateLogger("kafka")),
            });
        if (settings.Amqp is { } amqp)
            this.AddAmqp(options => options with
            {
                Listen = EndPointOf(amqp),
                Tls = amqp.IsSecure ? tls : null,
                MaxConnections = files.Amqp,
                MaxConnectionsPerAddress = settings.AmqpMaxConnectionsPerAddress is > 0 and var most ? most : int.MaxValue,
                MaxMemoryBytes = settings.AmqpMemory is > 0 and var memory ? memory : options.MaxMemoryBytes,
                Log = new EngineLogAdapter(loggers.CreateLogger(AmqpGateway.GatewayName)),
            });
        if (settings.AmqpManagement is { } management)
            this.AddAmqpManagement(options => options with
            {
                Listen = EndPointOf(management),
                Tls = management.IsSecure ? tls : null,
                Hosts = HostsOf(settings),
                MaxConnections = MaxManagers,
                Log = new EngineLogAdapter(loggers.CreateLogger(ManagementGateway.GatewayName)),
            });
        GatewayMeters.Share(_all);
    }

    /// <summary>All of them.</summary>
    public IReadOnlyList<IGateway> All => _all;

    /// <summary>The HTTP API, which every broker has.</summary>
    public HttpGateway Http { get; }

    /// <inheritdoc/>
    public void AddGateway(Func<IServiceProvider, IGateway> create) => _all.Add(create(_services));

    /// <inheritdoc/>
    public void Dispose() => _services.Dispose();

    private static string[] HostsOf(BrokerSettings settings)
    {
        var advertised = settings.KafkaListeners.Select(static one => one.Advertised).Append(settings.KafkaAdvertised)
            .Select(static kafka => kafka is not null && KafkaAddress.TryParse(kafka, out var host, out _) ? host : null);
        return [.. settings.HttpHosts, .. advertised.Append(settings.AdvertisedHost).OfType<string>().Distinct()];
    }

    private static IPEndPoint EndPointOf(ListenAddress address) => new(address.Address, address.Port);
}
