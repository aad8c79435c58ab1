using System.Diagnostics.Metrics;
using System.Net;
using System.Net.Sockets;
using OrleansMq.Gateways.Connections;
using OrleansMq.Hosting;
using OrleansMq.Quotas;
using OrleansMq.Security;
using OrleansMq.Tls;

namespace OrleansMq.Gateways.Kafka;

/// <summary>The Kafka protocol in front of a broker. Thread safe.</summary>
internal sealed class KafkaGateway : IGateway, IGatewayDoors
{
    private readonly KafkaGatewayOptions _options;
    private readonly ConnectionServer _server;
    private readonly AdvertisedAddressProbe _probe;
    private GatewayServices? _services;
    private readonly IReadOnlyList<KafkaListener> _listeners;
    private readonly WatchedCertificates? _certificates;
    private readonly List<GatewayPort> _ports = [];

    /// <param name="options">Limits and defaults.</param>
    /// <exception cref="ArgumentException">A listener is not valid.</exception>
    /// <exception cref="TlsConfigurationException">A certificate cannot be used.</exception>
    public KafkaGateway(KafkaGatewayOptions options)
    {
        ArgumentNullException.ThrowIfNull(options);
        options.Validate();
        (_options, _listeners) = (options, options.AllListeners);
        if (options.Tls is { } tls && _listeners.Any(static listener => listener.Protocol.UsesTls()))
            _certificates = WatchedCertificates.Load(tls, "Kafka", options.TimeProvider, options.Log);
        _server = new ConnectionServer("Kafka", new ConnectionLimits
        {
            MaxConnections = options.MaxConnections,
            MaxConnectionsPerAddress = options.MaxConnectionsPerAddress,
            MaxIdle = options.MaxIdle,
            MaxInFlightBytes = options.MaxInFlightBytes,
            MaxInFlightBytesPerConnection = options.MaxInFlightBytesPerConnection,
            Loops = options.Loops,
        }, options.TimeProvider, options.Log)
        {
            Handshaking = new UnauthenticatedConnections("Kafka", options.MaxUnauthenticated, options.Log, options.TimeProvider,
                undone: "finished the TLS handshake"),
        };
        _probe = new AdvertisedAddressProbe(options.Log);
        Metrics = new KafkaMetrics(_server.Metrics);
    }

    /// <inheritdoc/>
    public string Name => "kafka";

    /// <inheritdoc/>
    public string Protocol => _server.Protocol;

    /// <inheritdoc/>
    /// <remarks>That of the first listener; while the ports are being taken, that of the next: the one that a failure is about.</remarks>
    public IPEndPoint EndPoint => EndPointOf(_ports.Count < _listeners.Count ? _ports.Count : 0);

    /// <summary>The gateway's metrics.</summary>
    public KafkaMetrics Metrics { get; }

    /// <inheritdoc/>
    public void AddMetrics(Meter meter)
    {
        Metrics.AddTo(meter);
        _certificates?.AddTo(meter);
    }

    /// <summary>The listeners, with the ports that were taken.</summary>
    internal IEnumerable<KafkaListener> Listeners =>
        _listeners.Select((listener, index) => listener with { Listen = EndPointOf(index) });

    /// <inheritdoc/>
    IEnumerable<GatewayDoor> IGatewayDoors.Doors => Listeners.Select(listener => new GatewayDoor(Name, listener.Listen)
    {
        IsEncrypted = listener.Protocol.UsesTls(),
        Passwords = listener.Protocol.UsesSasl() ? PasswordDemand.Always : PasswordDemand.Never,
        DemandsCertificate = listener.Protocol.UsesTls() && _options.Tls!.ClientAuthentication == ClientAuthentication.Required,
        NamesPrincipals = listener.Protocol.UsesSasl()
            || (listener.Protocol.UsesTls() && _options.Tls!.ClientAuthentication != ClientAuthentication.None),
    });

    /// <summary>Takes the ports of the listeners. Connections wait until <see cref="Open"/>.</summary>
    /// <exception cref="SocketException">A port is in use, or an address is not one of this machine.</exception>
    public void Listen()
    {
        foreach (var listener in _listeners)
            _ports.Add(GatewayPort.Listen(_server, listener.Listen, certificates: listener.Protocol.UsesTls() ? _certificates : null,
                name: listener.Name));
    }

    /// <inheritdoc/>
    public Task ListenAsync(CancellationToken cancellationToken)
    {
        Listen();
        return Task.CompletedTask;
    }

    /// <inheritdoc/>
    public void Open(HostedBroker broker)
    {
        ArgumentNullException.ThrowIfNull(broker);
        // A door that says it authenticates, and cannot, must not open.
        if (broker.Security is null && _listeners.FirstOrDefault(static listener => listener.Protocol.UsesSasl()) is { } sasl)
            throw new NotSupportedException($"The Kafka listener {sasl.Name} has the protocol {SecurityProtocols.NameOf(sasl.Protocol)}, "
                + "but this broker has no users: use PLAINTEXT or SSL.");
        var services = _services = new GatewayServices(_options, broker);
        if (broker.Access.Quotas is { } quotas)
            _server.Admission = address => quotas.Connect(address.ToString(), BrokerQuotas.MostConnectWait);
        _server.Open(client => new KafkaConnection(_server, client, services, Metrics));
        foreach (var advertised in _listeners.Select(static listener => listener.Advertised).OfType<string>())
            _probe.Start(advertised);
    }

    /// <inheritdoc/>
    public void Drain() => _server.Drain();

    /// <inheritdoc/>
    public Task StopAsync(CancellationToken deadline) => Task.WhenAll(_ports.Select(port => port.StopAsync(deadline)));

    /// <inheritdoc/>
    public async ValueTask DisposeAsync()
    {
        await _probe.DisposeAsync().ConfigureAwait(false);
        // Connections that have not ended by now are cut.
        await StopAsync(new CancellationToken(canceled: true)).ConfigureAwait(false);
        await _server.DisposeAsync().ConfigureAwait(false);
        if (_certificates is not null)
            await _certificates.DisposeAsync().ConfigureAwait(false);
        _services?.Dispose();
    }

    private IPEndPoint EndPointOf(int listener) =>
        listener < _ports.Count ? _ports[listener].EndPoint : _listeners[listener].Listen;
}
