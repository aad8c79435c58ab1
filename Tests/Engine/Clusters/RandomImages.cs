using System.Collections.Immutable;
using FsCheck;
using FsCheck.Fluent;
using OrleansMq.Clusters;
using OrleansMq.Topics;

namespace OrleansMq.Tests.Engine.Clusters;

/// <summary>Random cluster images.</summary>
internal static class RandomImages
{
    private static readonly ImmutableSortedDictionary<string, string> NoConfigs =
        ImmutableSortedDictionary.Create<string, string>(StringComparer.Ordinal);

    /// <summary>Any image: dead brokers, moves in progress, topics being created and deleted.</summary>
    public static Gen<ClusterImage> Any { get; } = Gen.Choose(0, int.MaxValue).Select(seed => Make(new Random(seed)));

    /// <summary>Creates a cluster of live brokers on that many racks (0: without racks), with topics on random brokers.</summary>
    public static ClusterImage Cluster(Random random, int brokers, int racks, int topics)
    {
        var image = Brokers(brokers, id => racks == 0 ? null : $"r{id % racks}");
        for (var topic = 0; topic < topics; topic++)
            image = image.WithTopic(Topic(random, $"t{topic}", random.Next(1, 20), random.Next(1, Math.Min(4, brokers + 1)), brokers));
        return image with { Version = 1 };
    }

    public static ClusterImage Brokers(int count, Func<int, string?>? rackOf = null) => ClusterImage.Empty with
    {
        Brokers = Enumerable.Range(1, count).ToImmutableSortedDictionary(id => id,
            id => new ImageBroker(new BrokerRegistration { BrokerId = id, Rack = rackOf?.Invoke(id), Host = $"h{id}" }, IsAlive: true)),
    };

    public static ImageTopic Topic(string name, params int[][] replicas) =>
        new(name, Guid.NewGuid(), TopicStatus.Active, (short)replicas[0].Length, NoConfigs,
            [.. replicas.Select(some => ImagePartition.Create([.. some]) with { Leader = some[0], LeaderEpoch = 1, Isr = [.. some] })],
            replicas.Length);

    /// <summary>Changes parts of an image at random.</summary>
    public static ClusterImage Change(ClusterImage image, Random random)
    {
        for (var change = random.Next(1, 6); change > 0; change--)
            image = ChangeOne(image, random);
        return image with
        {
            Version = image.Version + random.Next(1, 100),
            Controller = random.Next(-1, 5),
            AutoRebalance = random.Next(2) == 0,
            CatchUpMaxBytesPerSecond = random.Next(2) == 0 ? 0 : random.NextInt64(1, long.MaxValue),
        };
    }

    private static ClusterImage Make(Random random)
    {
        var image = Cluster(random, random.Next(1, 8), random.Next(0, 4), random.Next(0, 5));
        return Change(image, random);
    }

    private static ClusterImage ChangeOne(ClusterImage image, Random random)
    {
        var topic = image.Topics.Values.OrderBy(topic => topic.Name, StringComparer.Ordinal)
            .Skip(random.Next(Math.Max(1, image.Topics.Count))).FirstOrDefault();
        switch (random.Next(8))
        {
            case 0:
                return image.WithTopic(Topic(random, $"n{random.Next(10)}", random.Next(1, 5), 1, 3));
            case 1 when topic is not null:
                return image.WithoutTopic(topic.TopicId) with { Deleted = image.Deleted.Add(topic.TopicId) };
            case 2 when topic is not null:
                return image.WithTopic(topic with { Configs = topic.Configs.SetItem("retention.ms", $"{random.Next(1000)}"),
                    Status = TopicStatus.Creating });
            case 3 when topic is not null:
                return image.WithTopic(topic with { Partitions = topic.Partitions.Add(ImagePartition.Create([2, 1])),
                    ReplicationFactor = 2, IntendedReplicationFactor = (short)random.Next(4) });
            case 4:
                return image with { Brokers = image.Brokers.Remove(random.Next(8)) };
            case 5:
                var id = random.Next(8);
                return image with
                {
                    Brokers = image.Brokers.SetItem(id,
                        new ImageBroker(new BrokerRegistration { BrokerId = id, Rack = random.Next(2) == 0 ? null : "r", Version = "1" },
                        random.Next(2) == 0, random.Next(2) == 0)),
                };
            case 6:
                return image with { Deleted = image.Deleted.Take(1).ToImmutableHashSet() };
            default:
                return topic is null ? image : image.WithPartition(new(topic.TopicId, random.Next(topic.Partitions.Length)),
                    new ImagePartition(random.Next(-1, 4), random.Next(1000), [1, 2, 300], [2], [random.Next(5)], random.Next(2) == 0
                        ? [] : [4, 5]));
        }
    }

    private static ImageTopic Topic(Random random, string name, int partitions, int replicationFactor, int brokers) => Topic(name,
        [.. Enumerable.Range(0, partitions)
            .Select(_ => Enumerable.Range(1, brokers).OrderBy(_ => random.Next()).Take(replicationFactor).ToArray())]);
}
