using System.Net.Sockets;
using Microsoft.AspNetCore.Server.Kestrel.Core;
using OrleansMq.Brokers;
using OrleansMq.Diagnostics;
using OrleansMq.Silo.Configuration;
using OrleansMq.Silo.Http;
using OrleansMq.Silo.Logging;
using OrleansMq.Silo.Metrics;

namespace OrleansMq.Silo.Hosting;

/// <summary>The broker cannot start. The message is one line with the cause and the fix.</summary>
internal sealed class StartException(string message, Exception inner) : Exception(message, inner);

/// <summary>A host cannot start. The message is one line with the cause and the fix.</summary>
internal sealed class HostRefusedException(string message, Exception inner) : Exception(message, inner);

/// <summary>A running broker: the HTTP API in front of a host.</summary>
internal sealed class BrokerServer : IAsyncDisposable
{
    private readonly BrokerSettings _settings;
    private readonly BrokerGate _gate = new();
    private readonly IBrokerHost _host;
    private readonly BrokerMetrics _metrics;
    private readonly ILogger _logger;
    private readonly Lock _stopping = new();
    private Task? _stopped;
    private readonly KafkaListener? _kafka;
    private WebApplication? _app;

    private BrokerServer(BrokerSettings settings, IBrokerHost host, ILogger logger, EngineLog kafkaLog)
    {
        _settings = settings;
        _host = host;
        _logger = logger;
        _metrics = new BrokerMetrics(new MetricSource
        {
            Partitions = () => host.LocalPartitions,
            FreeBytes = FreeBytes,
            Version = ProgramVersion.Text,
            Flavour = host.Flavour,
        });
        _kafka = settings.Kafka is null ? null : new KafkaListener(settings, _metrics, kafkaLog);
    }

    /// <summary>The URL of the HTTP API, with the port that was bound.</summary>
    public string Address => _app!.Urls.First();

    /// <summary>The address of the Kafka protocol, with the port that was bound; null if it is off.</summary>
    public string? KafkaAddress => _kafka?.Address;

    /// <summary><c>standalone</c> or <c>cluster</c>.</summary>
    public string Flavour => _host.Flavour;

    /// <summary>This broker's endpoints in its cluster; null if it has none.</summary>
    public ClusterMemberEndpoints? Member => _host.Member;

    /// <summary>The mapped routes, for the test that compares them with the API's description.</summary>
    internal IEnumerable<RouteEndpoint> Routes =>
        ((IEndpointRouteBuilder)_app!).DataSources.SelectMany(source => source.Endpoints).OfType<RouteEndpoint>();

    /// <summary>Starts everything; returns when the broker serves requests.</summary>
    /// <param name="settings">The operator's settings.</param>
    /// <param name="log">The program's log.</param>
    /// <param name="createHost">Chooses the host; <see cref="BrokerHosts.Create"/> unless a test passes its own.</param>
    /// <param name="cancellationToken">Cancels the start.</param>
    /// <exception cref="SettingsException">The settings contradict this build.</exception>
    /// <exception cref="StartException">The directory or a port cannot be used.</exception>
    public static async Task<BrokerServer> StartAsync(BrokerSettings settings, ConsoleLog log,
        Func<BrokerSettings, BrokerOptions, IBrokerHost>? createHost = null, CancellationToken cancellationToken = default)
    {
        var options = settings.ToOptions(new EngineLogAdapter(log.CreateLogger("engine")), TimeProvider.System);
        var server = new BrokerServer(settings, (createHost ?? BrokerHosts.Create)(settings, options), log.CreateLogger("broker"),
            new EngineLogAdapter(log.CreateLogger("kafka")));
        try
        {
            await server.StartAsync(log, cancellationToken);
            return server;
        }
        catch
        {
            await server.DisposeAsync();
            throw;
        }
    }

    /// <summary>
    /// Stops the broker: hands leaderships over, ends long polls at once, gives requests in flight
    /// <see cref="BrokerSettings.DrainTimeout"/> to complete, then closes the data directory cleanly.
    /// </summary>
    public ValueTask DisposeAsync()
    {
        lock (_stopping)
            return new ValueTask(_stopped ??= StopAllAsync());
    }

    private async Task StopAllAsync()
    {
        // Draining runs the callbacks of waiting requests, which must not run under the caller's lock.
        await Task.Yield();
        await _host.HandOverAsync();
        _gate.Drain();
        _kafka?.Drain();
        if (_app is { } app)
            await StopAsync(app);
        await _host.DisposeAsync();
        if (_app is not null)
            await _app.DisposeAsync();
        if (_kafka is not null)
            await _kafka.DisposeAsync();
        _metrics.Dispose();
        _gate.Dispose();
    }

    private async Task StartAsync(ConsoleLog log, CancellationToken cancellationToken)
    {
        _app = Build(log);
        try
        {
            await _app.StartAsync(cancellationToken);
        }
        catch (Exception e) when (SocketErrorOf(e) is { } error)
        {
            throw new StartException($"--http {_settings.Http}: {ReasonOf(error, e)}", e);
        }
        try
        {
            _kafka?.Listen();
        }
        catch (SocketException e)
        {
            throw new StartException($"--kafka {_settings.Kafka}: {ReasonOf(e.SocketErrorCode, e)} --kafka off disables Kafka's protocol.",
                e);
        }
        WarnOfOpenDoor();
        try
        {
            var broker = new MeteredBroker(await _host.StartAsync(_app.Services, cancellationToken), _metrics.Traffic, _metrics.Commits,
                _metrics.Groups);
            if (_host.Cluster is { } cluster)
                _kafka?.Open(broker, cluster);
            _gate.Open(broker);
        }
        catch (HostRefusedException e)
        {
            throw new StartException(e.Message, e);
        }
        catch (DataDirectoryException e)
        {
            throw new StartException(e.Message, e);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            throw new StartException($"--data {_settings.DataDirectory}: {e.Message}", e);
        }
    }

    private WebApplication Build(ConsoleLog log)
    {
        var builder = WebApplication.CreateEmptyBuilder(new WebApplicationOptions { ApplicationName = "OrleansMq.Silo" });
        builder.Logging.AddProvider(log).SetMinimumLevel(_settings.LogLevel);
        builder.Services.AddSingleton<IHostLifetime>(new ProgramLifetime());
        builder.Services.Configure<HostOptions>(options => options.ShutdownTimeout = _settings.DrainTimeout);
        if (_kafka is not null)
            builder.Services.AddSingleton(_kafka);
        builder.Services.AddRoutingCore();
        builder.WebHost.UseKestrelCore();
        builder.WebHost.ConfigureKestrel(ConfigureKestrel);
        _host.Configure(builder);

        var app = builder.Build();
        HttpApi.Map(app, new ApiServices
        {
            Gate = _gate,
            Codecs = Compression.StandardCodecs.All,
            IsDiskFull = () => FreeBytes() is { } free && free < _settings.MinFreeBytes,
            Logger = log.CreateLogger("http"),
            Metrics = _metrics,
            LocalGroups = _host.LocalGroupsAsync,
        });
        return app;
    }

    private void ConfigureKestrel(KestrelServerOptions options)
    {
        options.AddServerHeader = false;
        options.Limits.MaxRequestBodySize = RequestBody.MaxJsonBytes;
        var (address, port) = _settings.Http;
        if (address.Equals(System.Net.IPAddress.IPv6Any))
            // Both families, or IPv4 alone on a machine without IPv6.
            options.ListenAnyIP(port, static listen => listen.Protocols = HttpProtocols.Http1);
        else
            options.Listen(address, port, static listen => listen.Protocols = HttpProtocols.Http1);
    }

    private void WarnOfOpenDoor()
    {
        if (!_settings.Http.IsLoopback)
            _logger.OpenDoor(_settings.Http.ToString());
        if (_settings.Kafka is { IsLoopback: false } kafka)
            _logger.OpenDoor(kafka.ToString());
    }

    private async Task StopAsync(WebApplication app)
    {
        using var deadline = new CancellationTokenSource(_settings.DrainTimeout);
        var kafka = _kafka?.StopAsync(deadline.Token) ?? Task.CompletedTask;
        try
        {
            await app.StopAsync(deadline.Token);
        }
        catch (OperationCanceledException) when (deadline.IsCancellationRequested)
        {
            // The deadline passed during the stop; the remaining steps cut all connections.
        }
        await kafka;
        // Kestrel does not report the requests that it cuts at the deadline.
        if (deadline.IsCancellationRequested)
            _logger.DrainDeadlinePassed(_settings.DrainTimeout.TotalSeconds);
    }

    private long? FreeBytes()
    {
        try
        {
            return new DriveInfo(Path.GetFullPath(_settings.DataDirectory)).AvailableFreeSpace;
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            // The free space of an unmounted volume is unknown.
            return null;
        }
    }

    private static SocketError? SocketErrorOf(Exception? e)
    {
        for (; e is not null; e = e.InnerException)
        {
            if (e is SocketException socket)
                return socket.SocketErrorCode;
        }
        return null;
    }

    private static string ReasonOf(SocketError error, Exception e) => error switch
    {
        SocketError.AddressAlreadyInUse => "the port is in use. Stop the program that holds it, or choose another port.",
        SocketError.AddressNotAvailable => "this machine has no such address. Choose one of its own, or * for all.",
        SocketError.AccessDenied => "this user may not listen on that port. Choose one above 1023.",
        _ => e.Message,
    };
}
