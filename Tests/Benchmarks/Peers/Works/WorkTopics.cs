using System.Globalization;
using OrleansMq.Tests.Benchmarks.Peers.Brokers;
using OrleansMq.Tests.Benchmarks.Peers.Load;

namespace OrleansMq.Tests.Benchmarks.Peers.Works;

/// <summary>Topics for clients that create none.</summary>
internal static class WorkTopics
{
    /// <summary>Returns the configuration of a topic with three replicas, so that acks=all means the same on both brokers.</summary>
    public static IReadOnlyDictionary<string, string> Config(BrokerSettings settings) =>
        settings.Nodes == 1 ? new Dictionary<string, string>()
        : new Dictionary<string, string> { ["min.insync.replicas"] = (settings.Nodes - 1).ToString(CultureInfo.InvariantCulture) };

    /// <summary>Creates a topic with a replica on each node, and waits until it accepts records.</summary>
    public static void Create(RunningBroker broker, string topic, int partitions, BrokerSettings settings)
    {
        TopicLayout.Create(broker.Endpoint, topic, partitions, (short)settings.Nodes, Config(settings));
        TopicLayout.WaitForLeaders(broker.Endpoint, topic, partitions);
    }
}
