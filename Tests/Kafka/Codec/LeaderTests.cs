using System.Collections.Immutable;
using System.Diagnostics.CodeAnalysis;
using System.Net;
using OrleansMq.Access;
using OrleansMq.Api;
using OrleansMq.Clusters;
using OrleansMq.Gateways.Kafka;
using OrleansMq.Gateways.Kafka.Partitions;
using OrleansMq.Gateways.Kafka.Requests;
using OrleansMq.Gateways.Kafka.Sasl;
using OrleansMq.Gateways.Kafka.Wire;
using OrleansMq.Hosting;
using OrleansMq.Partitions;
using OrleansMq.Tests.Kafka.Connections;
using OrleansMq.Tests.Kafka.Schemas;
using OrleansMq.Topics;

namespace OrleansMq.Tests.Kafka.Codec;

/// <summary>A broker that does not lead a partition names the leader and its address.</summary>
public sealed class LeaderTests : IClusterMetadata, ILocalPartitions, IConnection
{
    private const short Produce = 0, Fetch = 1, ListOffsets = 2, Metadata = 3, WriteTxnMarkers = 27;

    private readonly Guid _orders = Guid.NewGuid();
    private readonly ClusterImage _image;

    public LeaderTests()
    {
        // Broker 1 receives the requests; 2 leads; 3 is dead.
        ImmutableArray<int> replicas = [2, 1, 3], inSync = [2, 1];
        _image = (ClusterImage.Empty with
        {
            Version = 5,
            Controller = 2,
            Brokers = ClusterImage.Empty.Brokers.Add(1, Broker(1)).Add(2, Broker(2)).Add(3, Broker(3) with { IsAlive = false })
                .Add(0, new ImageBroker(new BrokerRegistration { BrokerId = 0 }, IsAlive: true)),
        }).WithTopic(new ImageTopic("orders", _orders, TopicStatus.Active, 3, ImmutableSortedDictionary<string, string>.Empty,
            [new ImagePartition(2, 7, replicas, inSync, [], [])], 1));
    }

    event Action<ClusterImage>? IClusterMetadata.Changed
    {
        add { }
        remove { }
    }

    ClusterImage IClusterMetadata.Image => _image;

    public IPEndPoint LocalEndPoint { get; } = new(IPAddress.Loopback, 9092);

    public IPEndPoint RemoteEndPoint { get; } = new(IPAddress.Loopback, 40000);

    string IConnection.Listener => "PLAINTEXT";

    SaslSession? IConnection.Sasl => null;

    string IConnection.Principal => BrokerSession.Anonymous;

    long IConnection.Number => 1;

    public CancellationToken Aborted => CancellationToken.None;

    IReadOnlyCollection<Partition> ILocalPartitions.Held => [];

    public ClusterDescription Describe() => throw new NotSupportedException();

    Task<ClusterImage> IClusterMetadata.WaitForNewerAsync(long version, CancellationToken cancellationToken) =>
        throw new NotSupportedException();

    void IConnection.Introduce(string name, string version) { }

    bool ILocalPartitions.TryGet(TopicPartition partition, [NotNullWhen(true)] out Partition? found)
    {
        found = null;
        return false;
    }

    [Fact]
    public async Task Metadata_names_live_brokers_and_the_leader()
    {
        var text = await AskAsync(Metadata, 9);
        Assert.Contains("Host: \"host1\"\n", text, StringComparison.Ordinal);
        Assert.Contains("Host: \"host2\"\n", text, StringComparison.Ordinal);
        Assert.DoesNotContain("host3", text, StringComparison.Ordinal);
        Assert.Contains("ControllerId: 2\n", text, StringComparison.Ordinal);
        Assert.Contains("LeaderId: 2\n      LeaderEpoch: 7\n      ReplicaNodes: [2, 1, 3]\n      IsrNodes: [2, 1]\n      OfflineReplicas: "
            + "[3]\n", text, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Append_is_redirected_to_the_leader()
    {
        var text = await AskAsync(Produce, 10);
        Assert.Contains("ErrorCode: 6\n", text, StringComparison.Ordinal);
        Assert.Contains("CurrentLeader\n        LeaderId: 2\n        LeaderEpoch: 7\n", text, StringComparison.Ordinal);
        Assert.Contains("NodeEndpoints[0]\n    NodeId: 2\n    Host: \"host2\"\n    Port: 9094\n", text, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Fetch_by_topic_id_is_redirected_to_the_leader()
    {
        var text = await AskAsync(Fetch, 16, ("TopicId", _orders), ("MaxWaitMs", 60_000));
        Assert.Contains("ErrorCode: 6\n", text, StringComparison.Ordinal);
        Assert.Contains("CurrentLeader\n        LeaderId: 2\n        LeaderEpoch: 7\n", text, StringComparison.Ordinal);
        Assert.Contains("NodeEndpoints[0]\n    NodeId: 2\n    Host: \"host2\"\n    Port: 9094\n", text, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("orders", 1, 3)]
    [InlineData("unknown", 0, 3)]
    [InlineData("orders", 0, 6)]
    public async Task Offset_lookup_is_redirected_to_the_leader(string topic, int partition, int error) =>
        Assert.Contains($"ErrorCode: {error}\n", await AskAsync(ListOffsets, 6, ("Name", topic), ("PartitionIndex", partition)),
            StringComparison.Ordinal);

    [Fact]
    public async Task Marker_is_refused_where_another_broker_leads() =>
        Assert.Contains("ErrorCode: 6\n", await AskAsync(WriteTxnMarkers, 1), StringComparison.Ordinal);

    // 3 is dead. Clients do not reach 0, which has no listener.
    [Theory]
    [InlineData(1, true)]
    [InlineData(2, false)]
    public void One_broker_that_clients_reach_answers_for_all(int self, bool expected) =>
        Assert.Equal(expected, new BrokerEndpoints(new KafkaGatewayOptions(), self, this).AnswersForAll(this));

    [Fact]
    public async Task Unknown_topic_id_has_its_own_error() =>
        Assert.Contains("ErrorCode: 100\n", await AskAsync(Fetch, 13, ("TopicId", Guid.NewGuid())), StringComparison.Ordinal);

    private static ImageBroker Broker(int id) =>
        new(new BrokerRegistration { BrokerId = id, Kafka = $"host{id}:{9092 + id}" }, IsAlive: true);

    private async Task<string> AskAsync(short key, short version, params (string Field, object? Value)[] values)
    {
        var broker = new NoBroker();
        using var services = new GatewayServices(new KafkaGatewayOptions(),
            new HostedBroker(1, "cluster", new BrokerAccess(broker, this), broker, this, this));
        var request = ApiTable.Decode(Frames.Of(key, version, 1, values));
        Assert.True(request.Outcome == DecodeOutcome.Decoded, request.Fault);
        var context = new RequestContext
        {
            Services = services,
            Access = services.Access.Open(BrokerSession.InProcess),
            Version = version,
            CorrelationId = 1,
            ClientId = "",
            Connection = this,
        };
        using var response = new ResponseWriter(version, request.Api!.IsFlexible(version));
        response.WriteHeader(1, request.Api.HasTagsInResponseHeader(version));
        Assert.True(await request.Api.AnswerAsync(context, request.Body!, response));
        return MessageText.OfResponse(Schema.Response(key), version,
            [.. response.Parts().SelectMany(static part => part.Memory.ToArray()).Skip(4)], 1);
    }
}
