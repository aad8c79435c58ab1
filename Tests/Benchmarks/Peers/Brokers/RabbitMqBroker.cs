using OrleansMq.Tests.Shared;

namespace OrleansMq.Tests.Benchmarks.Peers.Brokers;

/// <summary>RabbitMQ from Debian's package: one node by <c>peer start rabbitmq</c>, three as a cluster. It confirms a persistent message
/// when it is on disk: a quorum queue syncs its write-ahead log on a majority of its replicas, a classic durable queue its message store
/// and index, for many messages at once.</summary>
internal sealed class RabbitMqBroker : IBrokerUnderTest
{
    /// <summary>The directory of its programs.</summary>
    public const string Programs = "/usr/lib/rabbitmq/bin";

    /// <summary>The distance from a node's port to its port for tools and other nodes.</summary>
    public const int DistributionPort = 20_000;

    public string Name => "RabbitMQ 3.10";

    public string? Lacks(BrokerSettings settings) => PeerScript.Lacks
        ?? (File.Exists($"{Programs}/rabbitmq-server") ? null : "Debian's package rabbitmq-server is not installed");

    public Task<RunningBroker> StartAsync(BrokerSettings settings, string directory, CancellationToken cancellationToken) =>
        settings.Nodes == 1
            ? StartOneAsync(directory, cancellationToken)
            : RabbitMqCluster.StartAsync(settings.Nodes, directory, cancellationToken);

    private static async Task<RunningBroker> StartOneAsync(string directory, CancellationToken cancellationToken)
    {
        var daemon = new ErlangDaemon();
        var node = await PeerScript.StartAsync("rabbitmq", directory, [Words.Of(FreePort.Choose(DistributionPort))], cancellationToken,
            daemon.Environment);
        return new Node(node, daemon) { Endpoint = node.Endpoint, Processes = node.AllProcesses, StartTime = node.StartTime,
            Directory = directory };
    }

    private sealed class Node(RunningBroker node, ErlangDaemon daemon) : RunningBroker
    {
        // The script ends the program that started the node, and kills that alone after 20 seconds. A node with thousands of queues takes
        // longer, and would stay.
        public override async ValueTask DisposeAsync() => await daemon.EndAsync(Processes, node.DisposeAsync);
    }
}
