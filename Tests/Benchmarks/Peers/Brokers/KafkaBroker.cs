namespace OrleansMq.Tests.Benchmarks.Peers.Brokers;

/// <summary>Apache Kafka with the default settings, as <c>peer start kafka</c> runs it.</summary>
internal sealed class KafkaBroker : IBrokerUnderTest
{
    public string Name { get; } = "Kafka" + Version();

    public string? Lacks(BrokerSettings settings) => PeerScript.Lacks;

    public Task<RunningBroker> StartAsync(BrokerSettings settings, string directory, CancellationToken cancellationToken)
    {
        // Clients from the port on, controllers from 1,001 above it on.
        var port = FreePorts.Find([.. Enumerable.Range(0, settings.Nodes).SelectMany(node => new[] { node, 1001 + node })]);
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
