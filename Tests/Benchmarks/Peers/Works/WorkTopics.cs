using System.Globalization;
using OrleansMq.Tests.Benchmarks.Peers.Brokers;
using OrleansMq.Tests.Benchmarks.Peers.Load;

namespace OrleansMq.Tests.Benchmarks.Peers.Works;

/// <summary>Topics for clients that create none.</summary>
internal static class WorkTopics
{
    /// <summary>What a topic of three replicas is given, so that both brokers mean the same by acks=all.</summary>
    public static IReadOnlyDictionary<string, string> Config(BrokerSettings settings) =>
        settings.Nodes == 1 ? new Dictionary<string, string>()
        : new Dictionary<string, string> { ["min.insync.replicas"] = (settings.Nodes - 1).ToString(CultureInfo.InvariantCulture) };

    /// <summary>Creates one, with a replica on each node, and waits until it can be produced to.</summary>
    public static void Create(RunningBroker broker, string topic, int partitions, BrokerSettings settings)
    {
        TopicLayout.Create(broker.Endpoint, topic, partitions, (short)settings.Nodes, Config(settings));
        TopicLayout.WaitForLeaders(broker.Endpoint, topic, partitions);
    }
}
