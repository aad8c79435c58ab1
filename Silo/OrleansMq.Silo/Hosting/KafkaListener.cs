using System.Net;
using Microsoft.AspNetCore.Connections;
using Microsoft.AspNetCore.Server.Kestrel.Core;
using OrleansMq.Brokers;
using OrleansMq.Diagnostics;
using OrleansMq.Gateways.Kafka;
using OrleansMq.Silo.Configuration;
using OrleansMq.Silo.Metrics;

namespace OrleansMq.Silo.Hosting;

/// <summary>The Kafka protocol on a port of the program's web server.</summary>
internal sealed class KafkaListener : IAsyncDisposable
{
    private readonly ListenAddress _address;
    private readonly KafkaGateway _gateway;
    private ListenOptions? _listen;

    /// <param name="settings">What the operator configured; the listener is on.</param>
    /// <param name="metrics">Where its instruments go.</param>
    /// <param name="log">Where its lines go.</param>
    public KafkaListener(BrokerSettings settings, BrokerMetrics metrics, EngineLog log)
    {
        _address = settings.Kafka!;
        _gateway = new KafkaGateway(new KafkaGatewayOptions
        {
            BrokerId = settings.BrokerId,
            Advertised = settings.KafkaAdvertised,
            AutoCreateTopics = settings.AutoCreateTopics,
            Traffic = metrics.Traffic,
            Log = log,
        });
        metrics.Add(_gateway.Metrics.AddTo);
    }

    /// <summary>Where it listens, with the port that was taken.</summary>
    public string Address => EndPoint.ToString();

    private IPEndPoint EndPoint => _listen?.IPEndPoint ?? new IPEndPoint(_address.Address, _address.Port);

    /// <summary>Adds the port to the web server's.</summary>
    public void Bind(KestrelServerOptions options)
    {
        if (_address.Address.Equals(IPAddress.IPv6Any))
            options.ListenAnyIP(_address.Port, Serve);
        else
            options.Listen(_address.Address, _address.Port, Serve);
    }

    /// <summary>Whether it is this port that could not be had.</summary>
    public bool Refuses(Exception start) => _address.Port != 0 && start.Message.Contains($":{_address.Port}", StringComparison.Ordinal);

    /// <summary>The broker serves from now on.</summary>
    public void Open(IBroker broker, HostedCluster cluster) => _gateway.Open(broker, cluster.Metadata, cluster.Local, cluster.ClusterId);

    /// <summary>Begins to stop: what is begun is answered, nothing new is.</summary>
    public void Drain() => _gateway.Drain();

    /// <inheritdoc/>
    public ValueTask DisposeAsync() => _gateway.DisposeAsync();

    private void Serve(ListenOptions listen)
    {
        _listen = listen;
        listen.Run(_gateway.ServeAsync);
    }
}
