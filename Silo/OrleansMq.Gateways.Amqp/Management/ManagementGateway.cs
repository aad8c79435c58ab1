using System.Diagnostics.Metrics;
using System.Net;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Hosting;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Server.Kestrel.Core;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Hosting;
using OrleansMq.Diagnostics;
using OrleansMq.Hosting;

namespace OrleansMq.Gateways.Amqp.Management;

/// <summary>RabbitMQ's management API over HTTP: users, virtual hosts, permissions, policies, exchanges, queues, bindings and definitions
/// of an <see cref="AmqpGateway"/>. Before <see cref="Open"/> it answers 503.</summary>
/// <param name="listen">The endpoint; port 0 takes a free port.</param>
/// <param name="maxConnections">Further connections are closed.</param>
/// <param name="amqp">The gateway whose virtual hosts it manages.</param>
/// <param name="log">The log.</param>
internal sealed class ManagementGateway(IPEndPoint listen, int maxConnections, AmqpGateway amqp, EngineLog log) : IGateway
{
    /// <summary>Its <see cref="Name"/>, which is also the setting's.</summary>
    internal const string GatewayName = "amqp-management";

    // Definitions of 10,000 queues have about 3 MiB.
    private const long MaxBodyBytes = 64 << 20;

    private WebApplication? _app;
    private volatile ManagementApi? _api;

    /// <inheritdoc/>
    public string Name => GatewayName;

    /// <inheritdoc/>
    public string Protocol => "the management API";

    /// <inheritdoc/>
    public IPEndPoint EndPoint => _app is null ? listen
        : new IPEndPoint(listen.Address, new Uri(Address.Replace("[::]", "localhost", StringComparison.Ordinal)).Port);

    /// <inheritdoc cref="IGateway.Address"/>
    public string Address => _app?.Urls.FirstOrDefault() ?? $"http://{listen}";

    /// <inheritdoc/>
    public void AddMetrics(Meter meter)
    {
        // Few requests come; the broker's metrics tell of what they change.
    }

    /// <inheritdoc/>
    public async Task ListenAsync(CancellationToken cancellationToken)
    {
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
    public void Open(HostedBroker broker) => _api = new ManagementApi(amqp, broker, this, log);

    /// <inheritdoc/>
    public void Drain()
    {
        // Requests are short.
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
            // Dispose cuts what is left.
        }
    }

    /// <inheritdoc/>
    public ValueTask DisposeAsync() => _app?.DisposeAsync() ?? default;

    private WebApplication Build()
    {
        var builder = WebApplication.CreateEmptyBuilder(new WebApplicationOptions { ApplicationName = "OrleansMq.Silo" });
        builder.Services.AddSingleton<IHostLifetime>(new IgnoredSignals());
        builder.Services.AddLogging();
        builder.WebHost.UseKestrelCore();
        builder.WebHost.ConfigureKestrel(options =>
        {
            options.AddServerHeader = false;
            options.Limits.MaxRequestBodySize = MaxBodyBytes;
            options.Limits.MaxConcurrentConnections = maxConnections;
            options.Limits.MinRequestBodyDataRate = new MinDataRate(bytesPerSecond: 4 << 10, gracePeriod: TimeSpan.FromSeconds(30));
            if (listen.Address.Equals(IPAddress.IPv6Any))
                options.ListenAnyIP(listen.Port, static one => one.Protocols = HttpProtocols.Http1);
            else
                options.Listen(listen, static one => one.Protocols = HttpProtocols.Http1);
        });
        var app = builder.Build();
        app.Run(AnswerAsync);
        return app;
    }

    private Task AnswerAsync(HttpContext context) => _api is { } api ? api.AnswerAsync(context)
        : ManagementApi.RefuseAsync(context, new ManagementException(StatusCodes.Status503ServiceUnavailable, "service_unavailable",
            "the broker starts"));

    /// <summary>Leaves signals to the host of the broker.</summary>
    private sealed class IgnoredSignals : IHostLifetime
    {
        public Task WaitForStartAsync(CancellationToken cancellationToken) => Task.CompletedTask;

        public Task StopAsync(CancellationToken cancellationToken) => Task.CompletedTask;
    }
}
