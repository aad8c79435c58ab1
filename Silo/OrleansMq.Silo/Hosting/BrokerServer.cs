using System.Net.Sockets;
using OrleansMq.Brokers;
using OrleansMq.Gateways.Amqp;
using OrleansMq.Gateways.Amqp.Management;
using OrleansMq.Gateways.Http;
using OrleansMq.Gateways.Tokens;
using OrleansMq.Hosting;
using OrleansMq.Silo.Configuration;
using OrleansMq.Silo.Logging;
using OrleansMq.Tls;

namespace OrleansMq.Silo.Hosting;

/// <summary>A running broker: gateways in front of a host.</summary>
internal sealed class BrokerServer : IAsyncDisposable
{
    private readonly BrokerSettings _settings;
    private readonly IBrokerHost _host;
    private readonly BrokerOptions _options;
    private readonly ILoggerFactory _loggers;
    private readonly ILogger _logger;
    private readonly ConfiguredGateways _gateways;
    private readonly Lock _stopping = new();
    private Task? _stopped;
    private bool _isListening;

    private BrokerServer(BrokerSettings settings, BrokerOptions options, OpenFiles files, IBrokerHost host, ConsoleLog log)
    {
        _settings = settings;
        _options = options;
        _host = host;
        _loggers = LoggerFactory.Create(logging => logging.AddProvider(log).SetMinimumLevel(settings.LogLevel));
        _logger = _loggers.CreateLogger("broker");
        _gateways = new ConfiguredGateways(settings, files, host.Flavour, _loggers);
        if (files.Data < settings.MaxOpenFiles)
            _logger.FewFiles(OpenFiles.FindLimit(), files.Data, settings.MaxOpenFiles, files.Http, files.Kafka, files.Amqp);
    }

    /// <summary>The base URL of the HTTP API, with the port that was taken.</summary>
    public string Address => _gateways.Http.Address;

    /// <summary>The address for Kafka clients, with the port that was taken; null where they are not served.</summary>
    public string? KafkaAddress => AddressOf("kafka");

    /// <summary>The address for AMQP clients, with the port that was taken; null where they are not served.</summary>
    public string? AmqpAddress => AddressOf(AmqpGateway.GatewayName);

    /// <summary><c>standalone</c> or <c>cluster</c>.</summary>
    public string Flavour => _host.Flavour;

    /// <summary>This broker as its cluster reaches it; null outside a cluster.</summary>
    public ClusterMemberEndpoints? Member => _host.Member;

    /// <summary>The HTTP API's routes, for the test that compares them with the API's description.</summary>
    internal IEnumerable<RouteEndpoint> Routes => _gateways.Http.Routes;

    /// <summary>Starts everything and returns when the broker serves.</summary>
    /// <param name="settings">What the operator configured.</param>
    /// <param name="log">Where log lines go.</param>
    /// <param name="createHost">Chooses the host; <see cref="BrokerHosts.Create"/> unless a test brings its own.</param>
    /// <param name="cancellationToken">Abandons the start.</param>
    /// <exception cref="SettingsException">The settings contradict this build.</exception>
    /// <exception cref="StartException">The directory or the port cannot be used.</exception>
    public static async Task<BrokerServer> StartAsync(BrokerSettings settings, ConsoleLog log,
        Func<BrokerSettings, BrokerOptions, IBrokerHost>? createHost = null, CancellationToken cancellationToken = default)
    {
        var limit = OpenFiles.FindLimit();
        if (limit < OpenFiles.Least)
            throw new StartException($"this process may open {limit} files, a broker needs {OpenFiles.Least} at least. Raise the limit: "
                + "ulimit -n, or LimitNOFILE of the service.");
        var files = OpenFiles.Share(limit, settings.MaxOpenFiles, settings.Kafka is not null, settings.HttpMaxConnections,
            settings.Amqp is not null);
        var options = WithTokens(settings, settings.ToOptions(new EngineLogAdapter(log.CreateLogger("engine")), TimeProvider.System)
            with { MaxOpenFiles = files.Data });
        var server = Create(settings, options, files, (createHost ?? BrokerHosts.Create)(settings, options), log);
        try
        {
            await server.StartAsync(cancellationToken);
            return server;
        }
        catch
        {
            await server.DisposeAsync();
            throw;
        }
    }

    /// <summary>
    /// Stops: leaderships are handed over, long polls end at once, requests in flight get <see cref="BrokerSettings.DrainTimeout"/> to end,
    /// then the data directory is closed cleanly.
    /// </summary>
    public ValueTask DisposeAsync()
    {
        lock (_stopping)
            return new ValueTask(_stopped ??= StopAllAsync());
    }

    private static BrokerOptions WithTokens(BrokerSettings settings, BrokerOptions options)
    {
        try
        {
            return settings.ToTokens() is { } tokens ? options.WithTokens(tokens) : options;
        }
        catch (TokenConfigurationException e)
        {
            throw new StartException($"--oauthbearer-jwks: {e.Message}", e);
        }
    }

    private static BrokerServer Create(BrokerSettings settings, BrokerOptions options, OpenFiles files, IBrokerHost host, ConsoleLog log)
    {
        try
        {
            return new BrokerServer(settings, options, files, host, log);
        }
        catch (TlsConfigurationException e)
        {
            throw new StartException($"--tls-certificate: {e.Message}", e);
        }
    }

    private async Task StopAllAsync()
    {
        // Draining runs callbacks of waiting requests; not under the caller's lock.
        await Task.Yield();
        await _host.HandOverAsync();
        foreach (var gateway in _gateways.All)
            gateway.Drain();
        if (_isListening)
            await StopGatewaysAsync();
        await _host.DisposeAsync();
        foreach (var gateway in _gateways.All)
            await gateway.DisposeAsync();
        _gateways.Dispose();
        _loggers.Dispose();
    }

    private async Task StartAsync(CancellationToken cancellationToken)
    {
        _host.Begin();
        _isListening = true;
        foreach (var gateway in _gateways.All)
            await ListenAsync(gateway, cancellationToken);
        foreach (var warning in OpenDoors.WarningsOf([.. OpenDoors.Of(_gateways.All)], _options))
            _logger.SecurityWarning(warning);
        try
        {
            var hosted = await _host.StartAsync(new HostContext(_loggers, _gateways.All), cancellationToken);
            // HTTP last: it tells that the broker is ready.
            foreach (var gateway in _gateways.All.Reverse())
                gateway.Open(hosted);
        }
        catch (HostRefusedException e)
        {
            throw new StartException(e.Message, e);
        }
        catch (Exception e) when (e is DataDirectoryException or BrokerException)
        {
            throw new StartException(e.Message, e);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            throw new StartException($"--data {_settings.DataDirectory}: {e.Message}", e);
        }
    }

    private static async Task ListenAsync(IGateway gateway, CancellationToken cancellationToken)
    {
        try
        {
            await gateway.ListenAsync(cancellationToken);
        }
        catch (Exception e) when (SocketErrorOf(e) is { } error)
        {
            var off = gateway is HttpGateway ? "" : $" --{gateway.Name} off disables {gateway.Protocol}'s protocol.";
            throw new StartException($"--{gateway.Name} {gateway.EndPoint}: {ReasonOf(error, e)}{off}", e);
        }
    }

    /// <summary>The URL of AMQP's management API, with the port that was taken; null where it is off.</summary>
    public string? AmqpManagementAddress => AddressOf(ManagementGateway.GatewayName);

    private string? AddressOf(string gateway) => _gateways.All.FirstOrDefault(one => one.Name == gateway)?.Address;

    private async Task StopGatewaysAsync()
    {
        using var deadline = new CancellationTokenSource(_settings.DrainTimeout);
        await Task.WhenAll(_gateways.All.Select(gateway => gateway.StopAsync(deadline.Token)));
        // A gateway that cuts connections at its deadline does not report it.
        if (deadline.IsCancellationRequested)
            _logger.DrainDeadlinePassed(_settings.DrainTimeout.TotalSeconds);
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
