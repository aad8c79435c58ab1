using OrleansMq.Api;
using OrleansMq.Brokers;
using OrleansMq.Clusters;
using OrleansMq.Diagnostics;
using OrleansMq.Gateways.Kafka.Partitions;

namespace OrleansMq.Gateways.Kafka;

/// <summary>The services behind requests.</summary>
internal sealed class GatewayServices : IDisposable
{
    public GatewayServices(KafkaGatewayOptions options, IBroker broker, IClusterMetadata metadata, ILocalPartitions local, string clusterId)
    {
        Options = options;
        Broker = broker;
        Metadata = metadata;
        ClusterId = clusterId;
        Partitions = new PartitionLocator(broker, metadata, local, options.BrokerId);
        Endpoints = new BrokerEndpoints(options, metadata);
        Deadlines = new FetchDeadlines(options.TimeProvider);
    }

    public KafkaGatewayOptions Options { get; }

    public IBroker Broker { get; }

    public IClusterMetadata Metadata { get; }

    public string ClusterId { get; }

    public PartitionLocator Partitions { get; }

    public BrokerEndpoints Endpoints { get; }

    public FetchDeadlines Deadlines { get; }

    public int Self => Options.BrokerId;

    public void Log(EngineLogLevel level, string message, Exception? exception = null) => Options.Log.Write(level, message, exception);

    /// <inheritdoc/>
    public void Dispose() => Deadlines.Dispose();
}
