using System.Diagnostics.Metrics;
using System.Net;
using System.Reflection;
using Microsoft.AspNetCore.Server.Kestrel.Core;
using Microsoft.AspNetCore.Server.Kestrel.Transport.Sockets;
using OrleansMq.Gateways.Browsers;
using OrleansMq.Gateways.Connections;
using OrleansMq.Gateways.Http.Security;
using OrleansMq.Gateways.Http.Metrics;
using OrleansMq.Hosting;
using OrleansMq.Tls;

namespace OrleansMq.Gateways.Http;

/// <summary>The HTTP API and the metrics of a broker. Before <see cref="Open"/> it answers that the broker starts.</summary>
internal sealed class HttpGateway : IGateway, IGatewayDoors, IMetricsReader
{
    // What a connection has sent and its request does not read yet, as while it waits for memory. No budget counts it.
    private const long MaxUnreadBytes = 128 << 10;

    private readonly HttpGatewayOptions _options;
    private readonly BrokerGate _gate = new();
    private readonly EngineLogAdapter _log;
    private volatile HostedBroker? _hosted;
    private readonly WatchedCertificates? _certificates;
    private readonly ConnectionGuard _guard;
    private WebApplication? _app;

    /// <param name="options">Limits and defaults.</param>
    /// <exception cref="TlsConfigurationException">A certificate cannot be used.</exception>
    public HttpGateway(HttpGatewayOptions options)
    {
        ArgumentNullException.ThrowIfNull(options);
        _options = options;
        _log = new EngineLogAdapter(options.LoggerFactory.CreateLogger("http"));
        if (options.Tls is { } tls)
            _certificates = WatchedCertificates.Load(tls, "HTTP", TimeProvider.System, _log);
        _guard = new ConnectionGuard("HTTP", options.MaxConnections, loginTime: null, TimeProvider.System, _log);
        Bodies = new RequestBodies(options.BodyBytes, options.BodyClock, _log);
        Parsed = new ParsedBodies("HTTP", ParsedBodies.DefaultBytes, options.BodyClock, _log);
        Metrics = new BrokerMetrics(new MetricSource
        {
            Partitions = () => _hosted?.Local.Held ?? [],
            FreeBytes = FreeBytes,
            Version = Version,
            Flavour = options.Flavour,
        });
        _certificates?.AddTo(Metrics.Meter);
    }

    /// <inheritdoc/>
    public string Name => "http";

    /// <inheritdoc/>
    public string Protocol => "HTTP";

    /// <inheritdoc/>
    public IPEndPoint EndPoint => _app is null
        ? _options.Listen
        : new IPEndPoint(_options.Listen.Address, new Uri(Address.Replace("[::]", "localhost", StringComparison.Ordinal)).Port);

    /// <summary>The base URL, with the port that was taken.</summary>
    public string Address => _app?.Urls.FirstOrDefault() ?? $"{(_certificates is null ? "http" : "https")}://{_options.Listen}";

    /// <summary>The broker's metrics, which <c>/metrics</c> reports.</summary>
    internal BrokerMetrics Metrics { get; }

    /// <summary>The memory of large bodies.</summary>
    internal RequestBodies Bodies { get; }

    /// <summary>The memory of the objects of JSON bodies.</summary>
    internal ParsedBodies Parsed { get; }

    /// <summary>The routes that are mapped.</summary>
    internal IEnumerable<RouteEndpoint> Routes =>
        ((IEndpointRouteBuilder)_app!).DataSources.SelectMany(static source => source.Endpoints).OfType<RouteEndpoint>();

    private static string Version { get; } =
        typeof(HttpGateway).Assembly.GetCustomAttribute<AssemblyInformationalVersionAttribute>()?.InformationalVersion.Split('+')[0]
        ?? "unknown";

    /// <inheritdoc/>
    /// <remarks><c>/metrics</c> reports it.</remarks>
    public Meter Meter => Metrics.Meter;

    /// <inheritdoc/>
    /// <remarks>Does nothing: its instruments are those of its own <see cref="Meter"/>.</remarks>
    public void AddMetrics(Meter meter) { }

    /// <inheritdoc/>
    IEnumerable<GatewayDoor> IGatewayDoors.Doors =>
    [
        new(Name, EndPoint)
        {
            IsEncrypted = _options.Tls is not null,
            Passwords = PasswordDemand.WhereEnforced,
            DemandsCertificate = _options.Tls is { ClientAuthentication: ClientAuthentication.Required },
            NamesPrincipals = _options.Tls is { ClientAuthentication: not ClientAuthentication.None },
        },
    ];

    /// <inheritdoc/>
    void IMetricsReader.Add(IReadOnlyList<IRefreshedMetrics> sources) => Metrics.Gateways = sources;

    /// <inheritdoc/>
    public async Task ListenAsync(CancellationToken cancellationToken)
    {
        var app = Build();
        try
        {
            await app.StartAsync(cancellationToken).ConfigureAwait(false);
            _app = app;
            Bodies.Watch();
        }
        catch
        {
            await app.DisposeAsync().ConfigureAwait(false);
            throw;
        }
    }

    /// <inheritdoc/>
    public void Open(HostedBroker broker)
    {
        ArgumentNullException.ThrowIfNull(broker);
        _hosted = broker;
        Metrics.Add(broker.Access.Meter);
        broker.Access.Quotas?.AddTo(Metrics.Meter);
        _guard.Open(broker.Access.Quotas);
        _gate.Open(broker.Broker, broker.Access, broker.Security, broker.Tickets);
    }

    /// <inheritdoc/>
    public void Drain()
    {
        _hosted?.Access.Quotas?.Release();
        _gate.Drain();
    }

    /// <inheritdoc/>
    public async Task StopAsync(CancellationToken deadline)
    {
        if (_app is not { } app)
            return;
        try
        {
            await app.StopAsync(deadline).ConfigureAwait(false);
        }
        catch (OperationCanceledException) when (deadline.IsCancellationRequested)
        {
            // The deadline passed before anything could stop. Dispose cuts what is left.
        }
    }

    /// <inheritdoc/>
    public async ValueTask DisposeAsync()
    {
        if (_app is not null)
            await _app.DisposeAsync().ConfigureAwait(false);
        await Bodies.DisposeAsync().ConfigureAwait(false);
        if (_certificates is not null)
            await _certificates.DisposeAsync().ConfigureAwait(false);
        Metrics.Dispose();
        _gate.Dispose();
    }

    private WebApplication Build()
    {
        var builder = WebApplication.CreateEmptyBuilder(new WebApplicationOptions { ApplicationName = "OrleansMq.Silo" });
        builder.Services.AddSingleton(_options.LoggerFactory);
        // The host of the broker stops the gateway in its own order.
        builder.Services.AddSingleton<IHostLifetime>(new IgnoredSignals());
        builder.Services.Configure<HostOptions>(options => options.ShutdownTimeout = _options.DrainTimeout);
        builder.Services.AddRoutingCore();
        builder.WebHost.UseKestrelCore();
        builder.WebHost.ConfigureKestrel(ConfigureKestrel);
        builder.Services.Configure<SocketTransportOptions>(static options => options.MaxReadBufferSize = MaxUnreadBytes);
        var api = new ApiServices
        {
            Gate = _gate,
            Hosts = HostNames.Of(_options.Hosts, () => _hosted),
            Codecs = _options.Codecs,
            RequestBodies = Bodies,
            ParsedBodies = Parsed,
            DiskFull = () => FreeBytes() is { } free && free < _options.MinFreeBytes
                ? $"the data volume has {free >> 20} MiB left, and appends are refused below {_options.MinFreeBytes >> 20} MiB. Free some "
                    + "space" : null,
            Logger = _options.LoggerFactory.CreateLogger("http"),
            Metrics = Metrics,
            MetricsAreOpen = _options.MetricsAreOpen,
            LocalGroups = cancellationToken => _hosted?.LocalGroups(cancellationToken) ?? new([]),
        };
        builder.Services.AddSingleton(api);
        var app = builder.Build();
        HttpApi.Map(app, api);
        return app;
    }

    private void ConfigureKestrel(KestrelServerOptions options)
    {
        options.AddServerHeader = false;
        options.Limits.MaxRequestBodySize = RequestBody.MaxJsonBytes;
        options.Limits.MaxConcurrentConnections = _options.MaxConnections;
        // A body holds memory while it arrives: less than any network in use brings.
        options.Limits.MinRequestBodyDataRate = new MinDataRate(bytesPerSecond: 4 << 10, gracePeriod: TimeSpan.FromSeconds(30));
        if (_options.Listen.Address.Equals(IPAddress.IPv6Any))
            // IPv6 and IPv4, or IPv4 alone on a machine without IPv6.
            options.ListenAnyIP(_options.Listen.Port, Configure);
        else
            options.Listen(_options.Listen, Configure);
    }

    private void Configure(ListenOptions listen)
    {
        listen.Protocols = HttpProtocols.Http1;
        _guard.Use(listen);
        if (_certificates is not { } certificates)
            return;
        HttpsPort.Use(listen, certificates, HttpsPort.Handshakes("HTTP", _options.MaxConnections, _log));
        listen.Use(next => connection => CertificatePrincipal.RunAsync(connection, certificates, next));
    }

    private long? FreeBytes()
    {
        if (_options.DataDirectory is not { } directory)
            return null;
        try
        {
            return new DriveInfo(Path.GetFullPath(directory)).AvailableFreeSpace;
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            // A volume that is no longer mounted is neither full nor free.
            return null;
        }
    }
}
