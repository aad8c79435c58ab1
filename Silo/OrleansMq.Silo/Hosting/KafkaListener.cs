using System.Net;
using System.Net.Sockets;
using OrleansMq.Api;
using OrleansMq.Diagnostics;
using OrleansMq.Gateways.Kafka;
using OrleansMq.Silo.Configuration;
using OrleansMq.Silo.Metrics;

namespace OrleansMq.Silo.Hosting;

/// <summary>The Kafka protocol on a port of the program's.</summary>
internal sealed class KafkaListener : IAsyncDisposable
{
    private readonly ListenAddress _address;
    // A connection that is not refused at once and not made in this time is none.
    private static readonly TimeSpan ProbeTime = TimeSpan.FromSeconds(5);

    private readonly KafkaGateway _gateway;
    private readonly string? _advertised;
    private readonly EngineLog _log;
    private readonly CancellationTokenSource _stop = new();
    private Task _probing = Task.CompletedTask;
    private KafkaPort? _port;

    /// <param name="settings">What the operator configured; the listener is on.</param>
    /// <param name="metrics">Where its instruments go.</param>
    /// <param name="log">Where its lines go.</param>
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

    /// <summary>Where it listens, with the port that was taken.</summary>
    public string Address => EndPoint.ToString();

    /// <summary>The same as an endpoint.</summary>
    public IPEndPoint EndPoint => _port?.EndPoint ?? new IPEndPoint(_address.Address, _address.Port);

    /// <summary>Takes the port; who connects waits until the broker serves.</summary>
    /// <exception cref="SocketException">It cannot be had.</exception>
    public void Listen() => _port = KafkaPort.Listen(_gateway, new IPEndPoint(_address.Address, _address.Port));

    /// <summary>The broker serves from now on.</summary>
    public void Open(IBroker broker, HostedCluster cluster)
    {
        _gateway.Open(broker, cluster.Metadata, cluster.Local, cluster.ClusterId);
        if (_advertised is not null)
            _probing = ProbeAsync(_advertised);
    }

    /// <summary>Begins to stop: what is begun is answered, nothing new is.</summary>
    public void Drain() => _gateway.Drain();

    /// <summary>Stops listening; returns when all connections have ended.</summary>
    /// <param name="deadline">Cuts those that are left.</param>
    public Task StopAsync(CancellationToken deadline) => _port?.StopAsync(deadline) ?? Task.CompletedTask;

    /// <inheritdoc/>
    public async ValueTask DisposeAsync()
    {
        await _stop.CancelAsync();
        await _probing;
        await _gateway.DisposeAsync();
        _stop.Dispose();
    }

    // Clients are sent there whether it works or not: a mistake is heard of here sooner than from them.
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
            // The broker stops before the answer is there.
        }
    }
}
