using OrleansMq.Api;
using OrleansMq.Topics;

namespace OrleansMq.Clusters;

/// <summary>Describes the cluster and its partitions for the broker API, from an image alone.</summary>
internal static class ClusterDescriptions
{
    /// <summary>Describes the cluster.</summary>
    /// <param name="image">The cluster image.</param>
    /// <param name="clusterId">The cluster's id.</param>
    /// <param name="minInSync">Returns a topic's <c>min.insync.replicas</c>.</param>
    public static ClusterDescription Describe(ClusterImage image, string clusterId, Func<ImageTopic, int> minInSync)
    {
        var counts = image.Brokers.Keys.ToDictionary(id => id, _ => new Counts());
        List<TopicPartition> underReplicated = [], offline = [], belowMinimum = [];
        var (topics, partitions) = (0, 0);
        foreach (var id in image.Names.Values)
        {
            var topic = image.Topics[id];
            if (topic.Status != TopicStatus.Active)
                continue;
            topics++;
            var minimum = minInSync(topic);
            for (var number = 0; number < topic.Serving; number++)
            {
                var partition = topic.Partitions[number];
                var name = new TopicPartition(topic.Name, number);
                partitions++;
                Count(partition, counts);
                if (partition.Leader < 0)
                    offline.Add(name);
                if (partition.Replicas.Any(broker => !IsInSync(image, partition, broker)))
                    underReplicated.Add(name);
                if (partition.Isr.Count(image.IsAlive) < minimum)
                    belowMinimum.Add(name);
            }
        }
        return new ClusterDescription(clusterId, "cluster",
            [.. image.Brokers.Values.Select(broker => Describe(broker, counts[broker.Registration.BrokerId]))],
            image.Controller, image.Version, topics, partitions, underReplicated, offline, belowMinimum, image.AutoRebalance);
    }

    /// <summary>Describes a partition that was just created, and is empty.</summary>
    /// <param name="partition">Its replicas, and its first leader.</param>
    /// <param name="number">The partition's number.</param>
    public static PartitionDescription DescribeNew(ImagePartition partition, int number) =>
        new(number, partition.Leader, partition.LeaderEpoch, partition.Replicas, partition.Leader < 0 ? [] : [partition.Leader], 0, 0, 0, 0,
            partition.Leader < 0 ? "It has no leader yet." : null);

    /// <summary>Describes a partition whose leader has not answered.</summary>
    /// <param name="number">The partition's number.</param>
    /// <param name="partition">Its state in the image.</param>
    /// <param name="reason">Why the leader's state is unknown.</param>
    public static PartitionDescription Describe(int number, ImagePartition partition, string reason) =>
        new(number, partition.Leader, partition.LeaderEpoch, partition.Replicas, partition.Isr, -1, -1, -1, 0, reason, partition.Elr.IsEmpty
            ? null : partition.Elr);

    private static bool IsInSync(ClusterImage image, ImagePartition partition, int broker) =>
        partition.Isr.Contains(broker) && image.IsAlive(broker);

    private static void Count(ImagePartition partition, Dictionary<int, Counts> counts)
    {
        for (var index = 0; index < partition.Replicas.Length; index++)
        {
            if (!counts.TryGetValue(partition.Replicas[index], out var broker))
                continue;
            broker.Replicas++;
            broker.InSync += partition.Isr.Contains(partition.Replicas[index]) ? 1 : 0;
            broker.Preferred += index == 0 ? 1 : 0;
        }
        if (counts.TryGetValue(partition.Leader, out var leader))
            leader.Leaders++;
    }

    // Storage failures of replicas are unknown here. A dead broker serves nothing.
    private static BrokerDescription Describe(ImageBroker broker, Counts counts)
    {
        var registration = broker.Registration;
        return new BrokerDescription(registration.BrokerId, registration.Version, broker.IsAlive ? counts.InSync : 0, broker.IsAlive
            ? 0 : counts.Replicas,
            registration.DataDirectory, broker.State, registration.Rack, registration.Host, registration.Http, registration.Kafka,
            registration.Orleans,
            counts.Leaders, counts.Preferred, counts.Replicas);
    }

    private sealed class Counts
    {
        public int Leaders { get; set; }
        public int Preferred { get; set; }
        public int Replicas { get; set; }
        public int InSync { get; set; }
    }
}
