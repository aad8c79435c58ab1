using FsCheck.Fluent;
using OrleansMq.Api;
using OrleansMq.Clusters;
using OrleansMq.Topics;

namespace OrleansMq.Tests.Engine.Clusters;

/// <summary>Topics that were created when there were fewer brokers than replicas.</summary>
public sealed class ReplicaGrowthTests
{
    [Fact]
    public void Growth_adds_what_is_missing_and_moves_nothing() => Properties.ForAll(
        from seed in Gen.Choose(0, int.MaxValue)
        from brokers in Gen.Choose(1, 8)
        from intended in Gen.Choose(1, 5)
        from racks in Gen.Elements(0, 3)
        select (seed, brokers, intended, racks),
        given =>
        {
            var image = Intend(RandomImages.Cluster(new Random(given.seed), given.brokers, given.racks, topics: 4), (short)given.intended);
            var plan = RebalancePlanner.PlanGrowth(image, "p");
            Assert.Equal(plan.Moves.Count > 0, ReplicaGrowth.WhyDue(image) is not null);
            Assert.All(plan.Moves, move => Assert.Equal(move.From, move.To.Take(move.From.Count)));
            var grown = Carry(image, plan);
            Assert.Null(ReplicaGrowth.WhyDue(grown));
            foreach (var (topic, _, partition) in grown.AllPartitions())
            {
                var before = image.Topics[topic.TopicId];
                Assert.Equal(partition.Replicas.Length, partition.Replicas.Distinct().Count());
                Assert.Equal(Math.Max(before.ReplicationFactor, Math.Min(given.intended, given.brokers)), partition.Replicas.Length);
                Assert.Equal(partition.Replicas.Length > before.ReplicationFactor ? (short)partition.Replicas.Length : null,
                    ReplicaGrowth.Reached(topic));
            }
        });

    [Fact]
    public void Added_replicas_go_to_other_racks_and_to_the_brokers_that_hold_least()
    {
        var image = Intend(RandomImages.Cluster(new Random(1), 6, racks: 3, topics: 0)
            .WithTopic(RandomImages.Topic("busy", [4], [4], [4]))
            .WithTopic(RandomImages.Topic("orders", [1])), 3);
        var move = RebalancePlanner.PlanGrowth(image, "p").Moves.Single(move => move.Topic == "orders");
        Assert.Equal(3, move.To.Select(broker => broker % 3).Distinct().Count());
        Assert.DoesNotContain(4, move.To);
        Assert.Contains("is to have 3 replicas", move.Reason, StringComparison.Ordinal);
    }

    [Fact]
    public void Many_partitions_are_planned_in_parts()
    {
        int[][] replicas = [.. Enumerable.Range(0, 40).Select(static number => new[] { 1 + (number % 3) })];
        var image = Intend(Enumerable.Range(0, 30).Aggregate(RandomImages.Brokers(3), (made, number) =>
            made.WithTopic(RandomImages.Topic($"t{number}", replicas))), 3);
        var planned = new List<int>();
        while (ReplicaGrowth.WhyDue(image) is not null)
        {
            var plan = RebalancePlanner.PlanGrowth(image, "p");
            planned.Add(plan.Moves.Count);
            image = Carry(image, plan);
        }
        Assert.Equal([500, 500, 200], planned);
    }

    public static TheoryData<string> Obstacles => ["leaderless", "moving", "dead", "draining", "creating", "none joins", "reached"];

    [Theory]
    [MemberData(nameof(Obstacles))]
    public void Partition_that_cannot_be_given_replicas_waits(string obstacle)
    {
        var image = Intend(RandomImages.Cluster(new Random(1), 3, racks: 0, topics: 0).WithTopic(RandomImages.Topic("orders", [1])), 3);
        Assert.Equal("topic 'orders' has fewer than 3 replicas", ReplicaGrowth.WhyDue(image));
        var topic = image.FindServed("orders")!;
        var partition = topic.Partitions[0];
        image = obstacle switch
        {
            "leaderless" => image.WithPartition(new(topic.TopicId, 0), partition with { Leader = -1 }),
            "moving" => image.WithPartition(new(topic.TopicId, 0), partition with { Target = [1, 2] }),
            "dead" => With(image, 1, static broker => broker with { IsAlive = false }),
            "draining" => With(image, 1, static broker => broker with { IsDraining = true }),
            "creating" => image.WithTopic(topic with { Status = TopicStatus.Creating }),
            "none joins" => With(With(image, 2, static broker => broker with { IsAlive = false }), 3,
                static broker => broker with { IsDraining = true }),
            _ => image.WithTopic(topic with { ReplicationFactor = 3 }),
        };
        Assert.Null(ReplicaGrowth.WhyDue(image));
        Assert.Empty(RebalancePlanner.PlanGrowth(image, "p").Moves);
    }

    /// <summary>The factor counts for all partitions: <c>min.insync.replicas</c> follows it.</summary>
    [Fact]
    public void Factor_is_that_of_the_partition_with_the_fewest_replicas()
    {
        var topic = RandomImages.Topic("orders", [1, 2, 3], [2, 3]) with { ReplicationFactor = 1, IntendedReplicationFactor = 3 };
        Assert.Equal((short)2, ReplicaGrowth.Reached(topic));
        Assert.Null(ReplicaGrowth.Reached(topic with { ReplicationFactor = 2 }));
        Assert.Null(ReplicaGrowth.Reached(topic with
        {
            Partitions = topic.Partitions.SetItem(0, topic.Partitions[0] with { Target = [1, 2] }),
        }));
        Assert.Null(ReplicaGrowth.Reached(topic with { Serving = 1 }));
        Assert.Null(ReplicaGrowth.Reached(topic with { IntendedReplicationFactor = 0 }));
    }

    private static ClusterImage Intend(ClusterImage image, short intended) => image.Topics.Values.Aggregate(image, (made, topic) =>
        made.WithTopic(topic with
        {
            IntendedReplicationFactor = intended,
            Partitions = [.. topic.Partitions.Select(static partition => partition with { Leader = partition.Replicas[0] })],
        }));

    private static ClusterImage With(ClusterImage image, int broker, Func<ImageBroker, ImageBroker> change) =>
        image with { Brokers = image.Brokers.SetItem(broker, change(image.Brokers[broker])) };

    private static ClusterImage Carry(ClusterImage image, RebalancePlan plan) => plan.Moves.Aggregate(image, (made, move) =>
    {
        made.TryGetTopic(move.Topic, out var topic);
        return made.WithPartition(new(topic!.TopicId, move.Partition),
            topic.Partitions[move.Partition] with { Replicas = [.. move.To], Isr = [.. move.To] });
    });
}
