using System.Net;
using OrleansMq.Access;
using OrleansMq.Api;
using OrleansMq.Brokers;
using OrleansMq.Diagnostics;
using OrleansMq.Gateways.Kafka;
using OrleansMq.Gateways.Kafka.Requests;
using OrleansMq.Gateways.Kafka.Sasl;
using OrleansMq.Gateways.Kafka.Wire;
using OrleansMq.Hosting;
using OrleansMq.Partitions;
using OrleansMq.Quotas;
using OrleansMq.Records;
using OrleansMq.Storage;
using OrleansMq.Testing;
using OrleansMq.Tests.Shared;

namespace OrleansMq.Tests.Kafka.Codec;

/// <summary>An in-memory broker with a topic, whose requests are answered without a connection.</summary>
internal sealed class GatewayHarness : IAsyncDisposable, IConnection
{
    private readonly CancellationTokenSource _aborted = new();
    private readonly GatewayServices _services;
    private readonly SessionAccess _access;

    private GatewayHarness(LocalBroker broker, ManualTimeProvider time, IBroker engine, ILocalPartitions local, IAuthorizer? authorizer)
    {
        Broker = broker;
        Time = time;
        broker.Metadata.Register(broker.Metadata.Image.Brokers[0].Registration with { Rack = "r1" });
        _services = new GatewayServices(new KafkaGatewayOptions { TimeProvider = time, Log = Log },
            new HostedBroker(0, broker.ClusterId, new BrokerAccess(engine, local, authorizer, quotas: broker.Quotas),
                engine, broker.Metadata, broker)
            {
                Security = broker.Security,
            });
        _access = _services.Access.Open(BrokerSession.InProcess);
    }

    public LocalBroker Broker { get; }

    public ManualTimeProvider Time { get; }

    public RecordedLog Log { get; } = new();

    public IPEndPoint LocalEndPoint { get; } = new(IPAddress.Parse("10.0.0.1"), 9092);

    public IPEndPoint RemoteEndPoint { get; } = new(IPAddress.Parse("10.0.0.2"), 40000);

    public string Listener { get; set; } = "PLAINTEXT";

    public SaslSession? Sasl => null;

    public string Principal => BrokerSession.Anonymous;

    public long Number { get; set; } = 7;

    public CancellationToken Aborted => _aborted.Token;

    public Guid Orders => Broker.Metadata.Image.FindServed("orders")?.TopicId ?? Guid.Empty;

    /// <summary>Opens a broker with the topic <c>orders</c>: two partitions, two records in the first.</summary>
    /// <param name="authorizer">Null: everything is allowed.</param>
    /// <param name="engine">What is asked behind the door; null: a broker whose groups say the same whatever they are asked.</param>
    /// <param name="local">The partitions that this process serves; null: all.</param>
    /// <param name="codecs">The broker's codecs; null: none.</param>
    public static async Task<GatewayHarness> StartAsync(IAuthorizer? authorizer = null, Func<IBroker, IBroker>? engine = null,
        Func<ILocalPartitions, ILocalPartitions>? local = null, CompressionCodecs? codecs = null)
    {
        var time = new ManualTimeProvider();
        var broker = await LocalBroker.OpenAsync(new BrokerOptions { DataDirectory = "/data",
            FileSystem = new MemoryFileSystem(tracksPowerCuts: false), TimeProvider = time, MinFreeBytes = 0,
            Codecs = codecs ?? CompressionCodecs.Empty });
        await broker.CreateTopicAsync(new NewTopic("orders", 2));
        var produced = await broker.ProduceAsync(new TopicPartition("orders", 0), TestBatches.Of("a", "b"), Acks.All);
        Assert.Equal(ErrorCode.None, produced.Error);
        await broker.Quotas.AlterAsync([new QuotaChange(new QuotaEntity("alice", ""),
            new Dictionary<QuotaKey, double?> { [QuotaKey.ConsumerByteRate] = 1 << 20, [QuotaKey.RequestPercentage] = 12.5 })]);
        return new GatewayHarness(broker, time, engine?.Invoke(broker) ?? new ScriptedBroker(broker), local?.Invoke(broker) ?? broker,
            authorizer);
    }

    public void Introduce(string name, string version) { }

    /// <summary>Whether the last request holds back later ones of its connection.</summary>
    public bool HoldsBack { get; private set; }

    /// <summary>Whether a request may be served by a thread that must not wait.</summary>
    public bool IsQuick(byte[] frame)
    {
        var request = ApiTable.Decode(frame);
        return request.Api!.IsQuick(_services, request.Body!);
    }

    /// <summary>Answers a request, without the length prefix. Returns null if the request wants no answer.</summary>
    public async Task<byte[]?> AnswerAsync(byte[] frame, int throttle = 0)
    {
        var request = ApiTable.Decode(frame);
        Assert.True(request.Outcome == DecodeOutcome.Decoded, request.Fault);
        return await AnswerAsync(request, throttle: throttle);
    }

    public async Task<byte[]?> AnswerAsync(DecodedRequest request, AppendBurst? burst = null, int throttle = 0)
    {
        var context = new RequestContext
        {
            Services = _services,
            Access = _access,
            Version = request.Version,
            CorrelationId = request.CorrelationId,
            ClientId = request.ClientId,
            Connection = this,
            Burst = burst,
        };
        using var response = new ResponseWriter(request.Version, request.Api!.IsFlexible(request.Version));
        response.WriteHeader(request.CorrelationId, request.Api.HasTagsInResponseHeader(request.Version));
        var answering = request.Api.AnswerAsync(context, request.Body!, response);
        // The connection looks as soon as the handler waits.
        HoldsBack = context.HoldsBack;
        if (!await answering)
            return null;
        response.Throttle(throttle);
        var bytes = response.Parts().SelectMany(static part => part.Memory.ToArray()).ToArray();
        Assert.Equal(bytes.Length, System.Buffers.Binary.BinaryPrimitives.ReadInt32BigEndian(bytes) + 4);
        return bytes[4..];
    }

    /// <summary>Cancels waiting requests.</summary>
    public void Abort() => _aborted.Cancel();

    public async ValueTask DisposeAsync()
    {
        _services.Dispose();
        await Broker.DisposeAsync();
        _aborted.Dispose();
    }
}

/// <summary>A log that keeps its lines, to check that unexpected ones are absent.</summary>
internal sealed class RecordedLog : EngineLog
{
    private readonly List<string> _lines = [];

    public IReadOnlyList<string> Lines
    {
        get
        {
            lock (_lines)
                return [.. _lines];
        }
    }

    public override void Write(EngineLogLevel level, string message, Exception? exception = null)
    {
        lock (_lines)
            _lines.Add($"{level}: {message}{(exception is null ? "" : $" {exception}")}");
    }
}
