using System.Diagnostics.Metrics;
using System.Net;
using System.Net.Sockets;
using OrleansMq.Gateways.Connections;
using OrleansMq.Hosting;

namespace OrleansMq.Gateways.Kafka;

/// <summary>The Kafka protocol in front of a broker. Thread safe.</summary>
internal sealed class KafkaGateway : IGateway
{
    private readonly KafkaGatewayOptions _options;
    private readonly ConnectionServer _server;
    private readonly AdvertisedAddressProbe _probe;
    private GatewayServices? _services;
    private GatewayPort? _port;

    /// <param name="options">Limits and defaults.</param>
    public KafkaGateway(KafkaGatewayOptions options)
    {
        ArgumentNullException.ThrowIfNull(options);
        _options = options;
        _server = new ConnectionServer("Kafka", new ConnectionLimits
        {
            MaxConnections = options.MaxConnections,
            MaxConnectionsPerAddress = options.MaxConnectionsPerAddress,
            MaxIdle = options.MaxIdle,
            MaxInFlightBytes = options.MaxInFlightBytes,
            MaxInFlightBytesPerConnection = options.MaxInFlightBytesPerConnection,
            Loops = options.Loops,
        }, options.TimeProvider, options.Log);
        _probe = new AdvertisedAddressProbe(options.Log);
        Metrics = new KafkaMetrics(_server.Metrics);
    }

    /// <inheritdoc/>
    public string Name => "kafka";

    /// <inheritdoc/>
    public string Protocol => _server.Protocol;

    /// <inheritdoc/>
    public IPEndPoint EndPoint => _port?.EndPoint ?? _options.Listen;

    /// <summary>The gateway's metrics.</summary>
    public KafkaMetrics Metrics { get; }

    /// <inheritdoc/>
    public void AddMetrics(Meter meter) => Metrics.AddTo(meter);

    /// <summary>Takes the port of <see cref="KafkaGatewayOptions.Listen"/>. Connections wait until <see cref="Open"/>.</summary>
    /// <exception cref="SocketException">The port is in use, or the address is not one of this machine.</exception>
    public void Listen() => _port = GatewayPort.Listen(_server, _options.Listen);

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
        var services = _services = new GatewayServices(_options, broker);
        _server.Open(client => new KafkaConnection(_server, client, services, Metrics));
        if (_options.Advertised is { } advertised)
            _probe.Start(advertised);
    }

    /// <inheritdoc/>
    public void Drain() => _server.Drain();

    /// <inheritdoc/>
    public Task StopAsync(CancellationToken deadline) => _port?.StopAsync(deadline) ?? Task.CompletedTask;

    /// <inheritdoc/>
    public async ValueTask DisposeAsync()
    {
        await _probe.DisposeAsync().ConfigureAwait(false);
        // Connections that have not ended by now are cut.
        await StopAsync(new CancellationToken(canceled: true)).ConfigureAwait(false);
        await _server.DisposeAsync().ConfigureAwait(false);
        _services?.Dispose();
    }
}
