using System.Buffers.Binary;
using System.Net;
using System.Net.Sockets;
using OrleansMq.Brokers;
using OrleansMq.Compression;
using OrleansMq.Gateways.Kafka;
using OrleansMq.Storage;
using OrleansMq.Tests.Kafka.Codec;

namespace OrleansMq.Tests.Kafka.Connections;

/// <summary>A broker in memory that serves the Kafka protocol on a free port.</summary>
internal sealed class KafkaServer : IAsyncDisposable
{
    private KafkaServer(LocalBroker broker, KafkaGateway gateway, KafkaPort port, RecordedLog log)
    {
        Broker = broker;
        Gateway = gateway;
        Port = port;
        Log = log;
    }

    /// <summary>How long a test waits for what must happen.</summary>
    public static TimeSpan Patience { get; } = TimeSpan.FromSeconds(60);

    public LocalBroker Broker { get; }

    public KafkaGateway Gateway { get; }

    public KafkaPort Port { get; }

    public RecordedLog Log { get; }

    public string Address => Port.EndPoint.ToString();

    public static async Task<KafkaServer> StartAsync(Func<KafkaGatewayOptions, KafkaGatewayOptions>? change = null)
    {
        var log = new RecordedLog();
        var broker = await LocalBroker.OpenAsync(new BrokerOptions
        {
            DataDirectory = "/data",
            FileSystem = new MemoryFileSystem(tracksPowerCuts: false),
            Codecs = StandardCodecs.All,
            MinFreeBytes = 0,
        });
        var options = new KafkaGatewayOptions { Log = log };
        var gateway = new KafkaGateway(change?.Invoke(options) ?? options);
        gateway.Open(broker, broker.Metadata, broker, broker.ClusterId);
        return new KafkaServer(broker, gateway, KafkaPort.Listen(gateway, new IPEndPoint(IPAddress.Loopback, 0)), log);
    }

    /// <summary>A bare connection.</summary>
    public async Task<WireClient> ConnectAsync()
    {
        var client = new TcpClient { NoDelay = true };
        await client.ConnectAsync(Port.EndPoint);
        return new WireClient(client);
    }

    public async ValueTask DisposeAsync()
    {
        await Port.DisposeAsync();
        await Gateway.DisposeAsync();
        await Broker.DisposeAsync();
    }
}

/// <summary>Sends and receives frames.</summary>
internal sealed class WireClient(TcpClient client) : IDisposable
{
    private readonly NetworkStream _stream = client.GetStream();

    /// <summary>Sends a frame behind its length.</summary>
    public async Task SendAsync(byte[] frame)
    {
        var bytes = new byte[frame.Length + 4];
        BinaryPrimitives.WriteInt32BigEndian(bytes, frame.Length);
        frame.CopyTo(bytes, 4);
        await _stream.WriteAsync(bytes);
    }

    /// <summary>Sends bytes as they are.</summary>
    public async Task SendRawAsync(byte[] bytes) => await _stream.WriteAsync(bytes);

    /// <summary>The next answer without its length; null where the connection was closed.</summary>
    public async Task<byte[]?> ReceiveAsync()
    {
        using var patience = new CancellationTokenSource(KafkaServer.Patience);
        var head = new byte[4];
        try
        {
            await _stream.ReadExactlyAsync(head, patience.Token);
            var body = new byte[BinaryPrimitives.ReadInt32BigEndian(head)];
            await _stream.ReadExactlyAsync(body, patience.Token);
            return body;
        }
        catch (IOException)
        {
            return null;
        }
    }

    /// <summary>Says that nothing more is sent.</summary>
    public void EndSending() => client.Client.Shutdown(SocketShutdown.Send);

    public void Dispose() => client.Dispose();
}
