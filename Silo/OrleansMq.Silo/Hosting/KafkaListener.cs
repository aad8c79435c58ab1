using System.Net;
using System.Net.Sockets;
using OrleansMq.Api;
using OrleansMq.Diagnostics;
using OrleansMq.Gateways.Kafka;
using OrleansMq.Silo.Configuration;
using OrleansMq.Silo.Metrics;

namespace OrleansMq.Silo.Hosting;

/// <summary>The Kafka protocol on one of the program's ports.</summary>
internal sealed class KafkaListener : IAsyncDisposable
{
    private readonly ListenAddress _address;
    // After this time a connection attempt counts as failed, even without a refusal.
    private static readonly TimeSpan ProbeTime = TimeSpan.FromSeconds(5);

    private readonly KafkaGateway _gateway;
    private readonly string? _advertised;
    private readonly EngineLog _log;
    private readonly CancellationTokenSource _stop = new();
    private Task _probing = Task.CompletedTask;
    private KafkaPort? _port;

    /// <param name="settings">The operator's settings, with the listener on.</param>
    /// <param name="metrics">Gets the listener's instruments.</param>
    /// <param name="log">Gets its lines.</param>
    public KafkaListener(BrokerSettings settings, BrokerMetrics metrics, EngineLog log)
    {
        _address = settings.Kafka!;
        _advertised = settings.KafkaAdvertised;
        _log = log;
        _gateway = new KafkaGateway(new KafkaGatewayOptions
        {
            BrokerId = settings.BrokerId,
            Advertised = settings.KafkaAdvertised,
            AutoCreateTopics = settings.AutoCreateTopics,
            Loops = settings.KafkaLoops,
            Traffic = metrics.Traffic,
            Log = log,
        });
        metrics.Add(_gateway.Metrics.AddTo);
    }

    /// <summary>The address, with the port that was bound.</summary>
    public string Address => EndPoint.ToString();

    /// <summary>The endpoint, with the port that was bound.</summary>
    public IPEndPoint EndPoint => _port?.EndPoint ?? new IPEndPoint(_address.Address, _address.Port);

    /// <summary>Binds the port; connections wait until <see cref="Open"/>.</summary>
    /// <exception cref="SocketException">The port cannot be bound.</exception>
    public void Listen() => _port = KafkaPort.Listen(_gateway, new IPEndPoint(_address.Address, _address.Port));

    /// <summary>Begins to serve connections.</summary>
    public void Open(IBroker broker, HostedCluster cluster)
    {
        _gateway.Open(broker, cluster.Metadata, cluster.Local, cluster.ClusterId);
        if (_advertised is not null)
            _probing = ProbeAsync(_advertised);
    }

    /// <summary>Begins to stop: started requests are completed, no new ones are read.</summary>
    public void Drain() => _gateway.Drain();

    /// <summary>Stops listening; returns when all connections have ended.</summary>
    /// <param name="deadline">Cuts the remaining connections.</param>
    public Task StopAsync(CancellationToken deadline) => _port?.StopAsync(deadline) ?? Task.CompletedTask;

    /// <inheritdoc/>
    public async ValueTask DisposeAsync()
    {
        await _stop.CancelAsync();
        await _probing;
        await _gateway.DisposeAsync();
        _stop.Dispose();
    }

    // Clients are sent to the advertised address whether it works or not, so report a mistake early.
    private async Task ProbeAsync(string advertised)
    {
        _ = KafkaAddress.TryParse(advertised, out var host, out var port);
        using var patience = CancellationTokenSource.CreateLinkedTokenSource(_stop.Token);
        patience.CancelAfter(ProbeTime);
        try
        {
            using var client = new TcpClient();
            await client.ConnectAsync(host, port, patience.Token);
        }
        catch (Exception e) when (e is SocketException or OperationCanceledException && !_stop.IsCancellationRequested)
        {
            _log.Write(EngineLogLevel.Warning, $"KAFKA CLIENTS ARE SENT TO {advertised}, WHICH CANNOT BE REACHED FROM HERE ({e.Message}) "
                + "Check --kafka-advertised, unless only clients reach that address.");
        }
        catch (OperationCanceledException)
        {
            // The broker stopped before the probe completed.
        }
    }
}
