using System.Diagnostics.Metrics;
using System.Net;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Hosting;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Server.Kestrel.Core;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Hosting;
using OrleansMq.Gateways.Browsers;
using OrleansMq.Gateways.Connections;
using OrleansMq.Gateways.Http.Security;
using OrleansMq.Hosting;
using OrleansMq.Tls;

namespace OrleansMq.Gateways.Amqp.Management;

/// <summary>RabbitMQ's management API over HTTP: users, virtual hosts, permissions, policies, exchanges, queues, bindings and definitions
/// of an <see cref="AmqpGateway"/>. Before <see cref="Open"/> it answers 503.</summary>
internal sealed class ManagementGateway : IGateway, IGatewayDoors
{
    /// <summary>Its <see cref="Name"/>, which is also the setting's.</summary>
    internal const string GatewayName = "amqp-management";

    private readonly AmqpManagementOptions _options;
    private readonly Func<AmqpGateway> _amqp;
    private readonly HostNames _hosts;
    private readonly WatchedCertificates? _certificates;
    private readonly ConnectionGuard _guard;
    private WebApplication? _app;
    private volatile HostedBroker? _broker;
    private volatile ManagementApi? _api;

    /// <param name="options">Limits and defaults.</param>
    /// <param name="amqp">Returns the gateway whose virtual hosts it manages; called from <see cref="ListenAsync"/> on.</param>
    public ManagementGateway(AmqpManagementOptions options, Func<AmqpGateway> amqp)
    {
        (_options, _amqp) = (options, amqp);
        _hosts = HostNames.Of(options.Hosts, () => _broker);
        _guard = new ConnectionGuard("AMQP management", options.MaxConnections, options.LoginTime, options.TimeProvider, options.Log);
        Imports = new RequestBudget(options.MaxImportBytes);
        Parsed = new ParsedBodies("AMQP management", ParsedBodies.DefaultBytes, options.TimeProvider, options.Log);
        if (options.Tls is { } tls)
            _certificates = WatchedCertificates.Load(tls, "AMQP management", TimeProvider.System, options.Log);
    }

    /// <inheritdoc/>
    public string Name => GatewayName;

    /// <inheritdoc/>
    public string Protocol => "the management API";

    /// <summary>The memory of definitions that are imported.</summary>
    internal RequestBudget Imports { get; }

    /// <summary>The memory of the objects of JSON bodies.</summary>
    internal ParsedBodies Parsed { get; }

    /// <summary>The most bytes of definitions.</summary>
    internal long MaxImportBytes => _options.MaxImportBytes;

    /// <inheritdoc/>
    public IPEndPoint EndPoint => _app is null ? _options.Listen
        : new IPEndPoint(_options.Listen.Address, new Uri(Address.Replace("[::]", "localhost", StringComparison.Ordinal)).Port);

    /// <inheritdoc/>
    IEnumerable<GatewayDoor> IGatewayDoors.Doors =>
        [new(Name, EndPoint) { IsEncrypted = _options.Tls is not null, Passwords = PasswordDemand.Always }];

    /// <inheritdoc cref="IGateway.Address"/>
    public string Address => _app?.Urls.FirstOrDefault() ?? $"{(_certificates is null ? "http" : "https")}://{_options.Listen}";

    /// <inheritdoc/>
    public void AddMetrics(Meter meter)
    {
        // Few requests come; the broker's metrics tell of what they change. Its certificate is usually that of the other ports.
    }

    /// <inheritdoc/>
    public async Task ListenAsync(CancellationToken cancellationToken)
    {
        _ = _amqp();
        var app = Build();
        try
        {
            await app.StartAsync(cancellationToken).ConfigureAwait(false);
            _app = app;
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
        _broker = broker;
        _guard.Open(broker.Access.Quotas);
        var amqp = _amqp();
        amqp.ManagementEndPoint = EndPoint;
        _api = new ManagementApi(amqp, broker, this, _options.Log);
    }

    /// <inheritdoc/>
    /// <remarks>Requests are short, except those that a quota holds back.</remarks>
    public void Drain() => _broker?.Access.Quotas?.Release();

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
            // Dispose cuts what is left.
        }
    }

    /// <inheritdoc/>
    public async ValueTask DisposeAsync()
    {
        if (_app is not null)
            await _app.DisposeAsync().ConfigureAwait(false);
        if (_certificates is not null)
            await _certificates.DisposeAsync().ConfigureAwait(false);
    }

    private WebApplication Build()
    {
        var builder = WebApplication.CreateEmptyBuilder(new WebApplicationOptions { ApplicationName = "OrleansMq.Silo" });
        builder.Services.AddSingleton<IHostLifetime>(new IgnoredSignals());
        builder.Services.AddLogging();
        builder.WebHost.UseKestrelCore();
        builder.WebHost.ConfigureKestrel(ConfigureKestrel);
        var app = builder.Build();
        app.Run(AnswerAsync);
        return app;
    }

    private void ConfigureKestrel(KestrelServerOptions server)
    {
        server.AddServerHeader = false;
        server.Limits.MaxRequestBodySize = ManagementRequest.MaxBodyBytes;
        server.Limits.MaxConcurrentConnections = _options.MaxConnections;
        server.Limits.RequestHeadersTimeout = _options.LoginTime;
        server.Limits.MinRequestBodyDataRate = new MinDataRate(bytesPerSecond: 4 << 10, gracePeriod: TimeSpan.FromSeconds(30));
        if (_options.Listen.Address.Equals(IPAddress.IPv6Any))
            server.ListenAnyIP(_options.Listen.Port, Configure);
        else
            server.Listen(_options.Listen, Configure);
    }

    private void Configure(ListenOptions listen)
    {
        listen.Protocols = HttpProtocols.Http1;
        _guard.Use(listen);
        if (_certificates is not { } certificates)
            return;
        HttpsPort.Use(listen, certificates, HttpsPort.Handshakes("AMQP management", _options.MaxConnections, _options.Log));
    }

    // A page of another site knows guest's password as everyone does.
    private Task AnswerAsync(HttpContext context)
    {
        if (CrossSiteRequest.Refusal(HeadersOf(context.Request), _hosts) is var (status, reason))
            return ManagementApi.RefuseAsync(context, new ManagementException(status, "cross_site_request", reason));
        return _api is { } api ? api.AnswerAsync(context)
            : ManagementApi.RefuseAsync(context, new ManagementException(StatusCodes.Status503ServiceUnavailable, "service_unavailable",
                "the broker starts"));
    }

    private static BrowserHeaders HeadersOf(HttpRequest request) =>
        new(request.Scheme, request.Host.Value ?? "", request.Host.Host, request.Headers.Origin.ToString(),
            request.Headers["Sec-Fetch-Site"].ToString(), request.Headers["Sec-Fetch-Dest"].ToString());
}
