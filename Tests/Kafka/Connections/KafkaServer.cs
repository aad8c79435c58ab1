using System.Net;
using System.Net.Sockets;
using OrleansMq.Access;
using OrleansMq.Api;
using OrleansMq.Brokers;
using OrleansMq.Clusters;
using OrleansMq.Compression;
using OrleansMq.Gateways.Kafka;
using OrleansMq.Hosting;
using OrleansMq.Security;
using OrleansMq.Storage;
using OrleansMq.Tests.Kafka.Codec;

namespace OrleansMq.Tests.Kafka.Connections;

/// <summary>A broker, in memory unless a directory is given, that serves the Kafka protocol on a free port.</summary>
internal sealed class KafkaServer : IAsyncDisposable
{
    private KafkaServer(LocalBroker broker, KafkaGateway gateway, RecordedLog log)
    {
        Broker = broker;
        Gateway = gateway;
        Log = log;
    }

    /// <summary>The deadline of every wait.</summary>
    public static TimeSpan Patience { get; } = TimeSpan.FromSeconds(60);

    /// <summary>Waits until the condition holds.</summary>
    public static async Task WaitUntilAsync(Func<bool> isSo)
    {
        using var patience = new CancellationTokenSource(Patience);
        while (!isSo())
            await Task.Delay(TimeSpan.FromMilliseconds(10), patience.Token);
    }

    public LocalBroker Broker { get; }

    public KafkaGateway Gateway { get; }

    public RecordedLog Log { get; }

    public string Address => Gateway.EndPoint.ToString();

    /// <summary>Starts a server. The given clock is the broker's; the gateway's is the system's unless its options are changed.</summary>
    public static async Task<KafkaServer> StartAsync(Func<KafkaGatewayOptions, KafkaGatewayOptions>? change = null,
        string? directory = null, Func<IBroker, IBroker>? wrap = null, TimeProvider? time = null,
        SecurityOptions? security = null, IAuthorizer? authorizer = null,
        IClusterMetadata? metadata = null)
    {
        var log = new RecordedLog();
        var broker = await LocalBroker.OpenAsync(new BrokerOptions
        {
            DataDirectory = directory ?? "/data",
            FileSystem = directory is null ? new MemoryFileSystem(tracksPowerCuts: false) : new DiskFileSystem(),
            Codecs = StandardCodecs.All,
            MinFreeBytes = 0,
            TimeProvider = time ?? TimeProvider.System,
            Security = security ?? new SecurityOptions(),
        });
        var options = new KafkaGatewayOptions { Listen = new IPEndPoint(IPAddress.Loopback, 0), Log = log };
        var gateway = new KafkaGateway(change?.Invoke(options) ?? options);
        gateway.Listen();
        var access = wrap is null && authorizer is null ? broker.Access
            : new BrokerAccess(wrap?.Invoke(broker) ?? broker, broker, authorizer);
        gateway.Open(new HostedBroker(0, broker.ClusterId, access, broker, metadata ?? broker.Metadata, broker)
        {
            Security = broker.Security,
        });
        return new KafkaServer(broker, gateway, log);
    }

    /// <summary>Opens a plain connection.</summary>
    public async Task<WireClient> ConnectAsync()
    {
        var client = new TcpClient { NoDelay = true };
        await client.ConnectAsync(Gateway.EndPoint);
        return new WireClient(client);
    }

    public async ValueTask DisposeAsync()
    {
        await Gateway.StopAsync(CancellationToken.None);
        await Gateway.DisposeAsync();
        await Broker.DisposeAsync();
    }
}
