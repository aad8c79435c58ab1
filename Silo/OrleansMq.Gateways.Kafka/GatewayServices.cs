using OrleansMq.Access;
using OrleansMq.Clusters;
using OrleansMq.Diagnostics;
using OrleansMq.Gateways.Kafka.Partitions;
using OrleansMq.Gateways.Kafka.Shares;
using OrleansMq.Hosting;
using OrleansMq.Security;

namespace OrleansMq.Gateways.Kafka;

/// <summary>What Kafka requests are answered from.</summary>
internal sealed class GatewayServices : IDisposable
{
    // A million connections a millisecond would not reach the numbers of a broker that starts later.
    private const int ConnectionBits = 20;

    private readonly ShareCleaning _cleaning;
    private readonly HashSet<string> _saslListeners;
    private long _lastConnection;

    public GatewayServices(KafkaGatewayOptions options, HostedBroker hosted)
    {
        Options = options;
        Self = hosted.BrokerId;
        Security = hosted.Security;
        _saslListeners = [.. options.AllListeners.Where(static one => one.Protocol.UsesSasl()).Select(static one => one.Name)];
        Unauthenticated = new UnauthenticatedConnections("Kafka", options.MaxUnauthenticated, options.Log, options.TimeProvider);
        Access = hosted.Access;
        Metadata = hosted.Metadata;
        ClusterId = hosted.ClusterId;
        Partitions = new PartitionLocator(hosted.Access, hosted.Metadata, hosted.BrokerId);
        Endpoints = new BrokerEndpoints(options, hosted.BrokerId, hosted.Metadata);
        Deadlines = new FetchDeadlines(options.TimeProvider);
        Shares = new ShareServer(options.TimeProvider, options.Log);
        _cleaning = new ShareCleaning(options, hosted);
        TooLarge = new RareLine(options.Log, options.TimeProvider);
        FaultyListeners = new RareLine(options.Log, options.TimeProvider);
        _lastConnection = options.TimeProvider.GetUtcNow().ToUnixTimeMilliseconds() << ConnectionBits;
    }

    public KafkaGatewayOptions Options { get; }

    /// <summary>Users and rules; null for a broker without them.</summary>
    public BrokerSecurity? Security { get; }

    /// <summary>The connections that have not authenticated, where their listener asks for it.</summary>
    public UnauthenticatedConnections Unauthenticated { get; }

    /// <summary>The door to the broker.</summary>
    public BrokerAccess Access { get; }

    public IClusterMetadata Metadata { get; }

    public string ClusterId { get; }

    public PartitionLocator Partitions { get; }

    public BrokerEndpoints Endpoints { get; }

    public FetchDeadlines Deadlines { get; }

    /// <summary>The sessions of share groups.</summary>
    public ShareServer Shares { get; }

    /// <summary>This broker's number.</summary>
    public int Self { get; }

    /// <summary>Lines about answers that were not sent since they are too large.</summary>
    public RareLine TooLarge { get; }

    /// <summary>Lines about listeners to the metrics that throw.</summary>
    public RareLine FaultyListeners { get; }

    /// <summary>Whether the clients of a listener authenticate by SASL.</summary>
    public bool RequiresSasl(string listener) => _saslListeners.Contains(listener);

    /// <summary>Returns the next connection's number, above all of this broker before, also of its earlier runs: they count from the time
    /// when they started.</summary>
    public long NextConnection() => Interlocked.Increment(ref _lastConnection);

    public void Log(EngineLogLevel level, string message, Exception? exception = null) => Options.Log.Write(level, message, exception);

    /// <inheritdoc/>
    public void Dispose()
    {
        _cleaning.Dispose();
        Deadlines.Dispose();
    }
}
