using OrleansMq.Tests.Shared;

namespace OrleansMq.Tests.Benchmarks.Peers.Brokers;

/// <summary>Apache Kafka with the default settings, started by <c>peer start kafka</c>.</summary>
internal sealed class KafkaBroker : IBrokerUnderTest
{
    public string Name { get; } = "Kafka" + Version();

    public string? Lacks(BrokerSettings settings) => PeerScript.Lacks;

    public Task<RunningBroker> StartAsync(BrokerSettings settings, string directory, CancellationToken cancellationToken)
    {
        // Client listeners start at the port, controllers 1,001 above it.
        var port = FreePort.Choose([.. Enumerable.Range(0, settings.Nodes).SelectMany(node => new[] { node, 1001 + node })]);
        string[] flush = settings.Flush switch
        {
            FlushSetting.EveryAcknowledgement => ["log.flush.interval.messages=1"],
            FlushSetting.EverySecond => ["log.flush.interval.ms=1000"],
            _ => [],
        };
        return PeerScript.StartAsync("kafka", directory, [$"{port}", $"{settings.Nodes}", .. flush], cancellationToken);
    }

    private static string Version()
    {
        var jars = Path.Combine(PeerScript.Folder ?? "", "kafka");
        var clients = Directory.Exists(jars) ? Directory.GetFiles(jars, "kafka-clients-*.jar").FirstOrDefault() : null;
        return clients is null ? "" : " " + Path.GetFileNameWithoutExtension(clients)["kafka-clients-".Length..];
    }
}
