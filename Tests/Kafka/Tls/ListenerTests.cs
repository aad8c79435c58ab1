using System.Collections.Immutable;
using System.Net;
using OrleansMq.Api;
using OrleansMq.Clusters;
using OrleansMq.Gateways.Kafka;
using OrleansMq.Tests.Kafka.Connections;
using OrleansMq.Tests.Kafka.Schemas;
using OrleansMq.Tests.Shared;

namespace OrleansMq.Tests.Kafka.Tls;

/// <summary>A gateway with several listeners: each sends its clients to the addresses of its own name.</summary>
public sealed class ListenerTests : IDisposable
{
    private const short Metadata = 3, FindCoordinator = 10, DescribeCluster = 60;

    private readonly TestCertificateFiles _files = new();

    public void Dispose() => _files.Dispose();

    [Fact]
    public async Task Clients_are_sent_to_the_listeners_of_the_same_name()
    {
        // Others know this broker by its registration; broker 3 has no listener for clients outside, and broker 4 is of an earlier version.
        await using var server = await StartAsync(metadata: new FixedImage(
            new BrokerRegistration { BrokerId = 0, Kafka = "10.0.0.0:9092",
                KafkaListeners = "inside=10.0.0.0:9092,OUTSIDE=kafka-0.example.com:443" },
            new BrokerRegistration { BrokerId = 1, Kafka = "10.0.0.1:9092",
                KafkaListeners = "OUTSIDE=kafka-1.example.com:444,inside=10.0.0.1:9092" },
            new BrokerRegistration { BrokerId = 3, Kafka = "10.0.0.3:9092", KafkaListeners = "inside=10.0.0.3:9092" },
            new BrokerRegistration { BrokerId = 4, Kafka = "10.0.0.4:9092" }));
        var inside = await AskAsync(server, 0);
        Assert.All(new[] { "10.0.0.0:9092", "10.0.0.1:9092", "10.0.0.3:9092", "10.0.0.4:9092" },
            address => Assert.Contains(address, inside[Metadata], StringComparison.Ordinal));
        Assert.All(inside.Values, static text => Assert.DoesNotContain("example.com", text, StringComparison.Ordinal));
        var outside = await AskAsync(server, 1);
        // The advertised address of this broker's own listener precedes its registration.
        Assert.All(new[] { "here.example.com:9093", "kafka-1.example.com:444", "10.0.0.4:9092" },
            address => Assert.Contains(address, outside[Metadata], StringComparison.Ordinal));
        Assert.DoesNotContain("10.0.0.3", outside[Metadata] + outside[DescribeCluster], StringComparison.Ordinal);
        Assert.Contains("here.example.com:9093", outside[FindCoordinator], StringComparison.Ordinal);
        Assert.Contains("kafka-1.example.com:444", outside[DescribeCluster], StringComparison.Ordinal);
    }

    [Fact]
    public async Task Broker_alone_is_reached_where_each_client_dialled()
    {
        await using var server = await StartAsync(advertised: null);
        var ports = server.Gateway.Listeners.Select(static listener => listener.Listen.Port).ToArray();
        Assert.Equal(2, ports.Distinct().Count());
        for (var listener = 0; listener < 2; listener++)
            Assert.Contains($"127.0.0.1:{ports[listener]}", (await AskAsync(server, listener))[Metadata], StringComparison.Ordinal);
    }

    [Fact]
    public void Listeners_that_cannot_be_told_apart_or_have_no_certificate_are_refused()
    {
        static KafkaListener Of(string name, SecurityProtocol protocol = SecurityProtocol.Plaintext) =>
            new() { Name = name, Listen = new IPEndPoint(IPAddress.Loopback, 0), Protocol = protocol };
        static string Refusal(params KafkaListener[] listeners) =>
            Assert.Throws<ArgumentException>(() => new KafkaGateway(new KafkaGatewayOptions { Listeners = listeners })).Message;
        Assert.Contains("Two Kafka listeners have the name A", Refusal(Of("a"), Of("A")), StringComparison.Ordinal);
        Assert.Contains("there is no certificate", Refusal(Of("a", SecurityProtocol.Ssl)), StringComparison.Ordinal);
        Assert.Contains("is empty, or has one of", Refusal(Of("a=b")), StringComparison.Ordinal);
    }

    [Fact]
    public void Listeners_of_a_broker_reach_the_others_and_older_versions_read_the_rest()
    {
        var image = ClusterImage.Empty with { Version = 7 };
        BrokerRegistration named = new() { BrokerId = 1, Kafka = "a:1", KafkaListeners = "x=a:1,y=b:2" };
        var next = image with { Version = 8, Brokers = image.Brokers.Add(1, new ImageBroker(named, IsAlive: true))
            .Add(2, new ImageBroker(new BrokerRegistration { BrokerId = 2, Kafka = "c:3" }, IsAlive: true)) };
        var bytes = ClusterDeltaCodec.Write(ClusterDelta.Between(image, next));
        Assert.Equal(next.Brokers, ClusterDeltaCodec.Read(bytes.Span).Apply(image)!.Brokers);
        // What an older version writes, and reads: the same without the end.
        var plain = next with { Brokers = next.Brokers.SetItem(1, new ImageBroker(named with { KafkaListeners = null }, IsAlive: true)) };
        var older = ClusterDeltaCodec.Write(ClusterDelta.Between(image, plain));
        Assert.True(bytes.Span.StartsWith(older.Span));
        Assert.Equal(plain.Brokers, ClusterDeltaCodec.Read(older.Span).Apply(image)!.Brokers);
        Assert.Null(ListenerAddresses.Format([new("PLAINTEXT", "a:1")]));
        Assert.Equal("SSL=a:1", ListenerAddresses.Format([new("SSL", "a:1")]));
    }

    private async Task<KafkaServer> StartAsync(string? advertised = "here.example.com:9093", IClusterMetadata? metadata = null) =>
        await KafkaServer.StartAsync(options => options with
        {
            Tls = _files.Server(),
            Listeners =
            [
                new KafkaListener { Name = "inside", Listen = new IPEndPoint(IPAddress.Loopback, 0) },
                new KafkaListener { Name = "outside", Listen = new IPEndPoint(IPAddress.Loopback, 0), Protocol = SecurityProtocol.Ssl,
                    Advertised = advertised },
            ],
        }, metadata: metadata);

    // The answers as text, with each host and its port joined.
    private async Task<Dictionary<short, string>> AskAsync(KafkaServer server, int listener)
    {
        var endPoint = server.Gateway.Listeners.ElementAt(listener).Listen;
        using var tcp = new System.Net.Sockets.TcpClient();
        await tcp.ConnectAsync(endPoint);
        using var client = listener == 0 ? new WireClient(tcp)
            : new WireClient(tcp, await TlsClient.ConnectAsync(endPoint, _files.Authority.Certificate));
        var answers = new Dictionary<short, string>();
        foreach (var (key, version) in new[] { (Metadata, (short)9), (FindCoordinator, (short)3), (DescribeCluster, (short)0) })
        {
            await client.SendAsync(Frames.Of(key, version, 1));
            var text = MessageText.OfResponse(Schema.Response(key), version, (await client.ReceiveAsync())!, 1);
            answers[key] = System.Text.RegularExpressions.Regex.Replace(text, "Host: \"([^\"]*)\"\\s*Port: ", "$1:");
        }
        return answers;
    }

    /// <summary>A cluster of live brokers that does not change.</summary>
    private sealed class FixedImage(params BrokerRegistration[] brokers) : IClusterMetadata
    {
        public ClusterImage Image { get; } = ClusterImage.Empty with
        {
            Version = 1,
            Brokers = brokers.ToImmutableSortedDictionary(static one => one.BrokerId, static one => new ImageBroker(one, IsAlive: true)),
        };

        public event Action<ClusterImage>? Changed
        {
            add { }
            remove { }
        }

        public ClusterDescription Describe() => throw new NotSupportedException();

        public Task<ClusterImage> WaitForNewerAsync(long version, CancellationToken cancellationToken) =>
            Task.Delay(Timeout.Infinite, cancellationToken).ContinueWith(_ => Image, TaskScheduler.Default);
    }
}
