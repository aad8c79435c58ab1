using Confluent.Kafka;
using Confluent.Kafka.Admin;

namespace OrleansMq.Tests.Chaos.Transactions;

/// <summary>The topics of a run with transactions.</summary>
internal static class TransactionTopics
{
    /// <summary>Creates them. A record is acknowledged by two replicas, where there are several.</summary>
    /// <param name="servers">The addresses for Kafka's clients.</param>
    /// <param name="topics">Their names.</param>
    /// <param name="partitions">The partitions of each.</param>
    /// <param name="replicas">The replicas of each partition.</param>
    public static async Task CreateAsync(string servers, IEnumerable<string> topics, int partitions, short replicas)
    {
        using var admin = new AdminClientBuilder(new AdminClientConfig { BootstrapServers = servers }).Build();
        await admin.CreateTopicsAsync(topics.Select(topic => new TopicSpecification
        {
            Name = topic,
            NumPartitions = partitions,
            ReplicationFactor = replicas,
            Configs = new Dictionary<string, string> { ["min.insync.replicas"] = replicas > 1 ? "2" : "1" },
        }));
    }
}
