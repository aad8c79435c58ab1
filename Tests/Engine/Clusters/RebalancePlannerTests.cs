using FsCheck.Fluent;
using OrleansMq.Api;
using OrleansMq.Clusters;

namespace OrleansMq.Tests.Engine.Clusters;

public class RebalancePlannerTests
{
    [Fact]
    public void Plan_gives_every_broker_its_share_with_the_fewest_moves() => Properties.ForAll(
        from seed in Gen.Choose(0, int.MaxValue)
        from brokers in Gen.Choose(1, 8)
        from topics in Gen.Choose(0, 6)
        select (seed, brokers, topics),
        given =>
        {
            var image = RandomImages.Cluster(new Random(given.seed), given.brokers, racks: 0, given.topics);
            var plan = RebalancePlanner.Plan(image, "p");
            Assert.InRange(plan.Shares.Max(share => share.ReplicasAfter) - plan.Shares.Min(share => share.ReplicasAfter), 0, 1);
            var fair = image.AllPartitions().Sum(found => found.Partition.Replicas.Length) / (double)given.brokers;
            var surplus = plan.Shares.Sum(share => Math.Max(0, share.ReplicasBefore - (int)Math.Ceiling(fair)));
            var lack = plan.Shares.Sum(share => Math.Max(0, (int)Math.Floor(fair) - share.ReplicasBefore));
            Assert.Equal(Math.Max(surplus, lack), plan.Moves.Sum(move => move.To.Except(move.From).Count()));
            Check(image, plan);
            Assert.Empty(RebalancePlanner.Plan(Carry(image, plan), "q").Moves);
        });

    [Fact]
    public void Plan_keeps_replicas_on_different_racks() => Properties.ForAll(
        from seed in Gen.Choose(0, int.MaxValue)
        from brokers in Gen.Choose(3, 9)
        select (seed, brokers),
        given =>
        {
            var image = RandomImages.Cluster(new Random(given.seed), given.brokers, racks: 3, topics: 4);
            var plan = RebalancePlanner.Plan(image, "p");
            Check(image, plan);
            Assert.All(Carry(image, plan).AllPartitions(), found =>
                Assert.Equal(found.Partition.Replicas.Length, found.Partition.Replicas.Select(id => id % 3).Distinct().Count()));
        });

    [Fact]
    public void Drained_broker_holds_nothing_after_the_plan() => Properties.ForAll(
        from seed in Gen.Choose(0, int.MaxValue)
        from dead in Gen.Elements(false, true)
        select (seed, dead),
        given =>
        {
            var image = RandomImages.Cluster(new Random(given.seed), 4, racks: 0, topics: 4);
            image = image with { Brokers = image.Brokers.SetItem(2, image.Brokers[2] with { IsDraining = true, IsAlive = !given.dead }) };
            var plan = RebalancePlanner.Plan(image, "p");
            Check(image, plan);
            var share = plan.Shares.Single(share => share.BrokerId == 2);
            Assert.Equal((0, 0), (share.ReplicasAfter, share.PreferredLeadersAfter));
            Assert.Equal(share.ReplicasBefore > 0,
                plan.Moves.Any(move => move.Reason.Contains("broker 2 is drained", StringComparison.Ordinal)));
        }, count: 100);

    [Fact]
    public void New_broker_gets_its_share_from_all_others()
    {
        var image = RandomImages.Brokers(3);
        for (var topic = 0; topic < 4; topic++)
            image = image.WithTopic(RandomImages.Topic($"t{topic}", [1, 2, 3], [2, 3, 1], [3, 1, 2]));
        image = image with { Brokers = RandomImages.Brokers(4).Brokers };
        var plan = RebalancePlanner.Plan(image, "p");
        Assert.All(plan.Shares, share => Assert.Equal((9, 3), (share.ReplicasAfter, share.PreferredLeadersAfter)));
        Assert.Equal(9, plan.Moves.Sum(move => move.To.Except(move.From).Count()));
        Assert.Contains("9 replicas to copy", plan.Summary, StringComparison.Ordinal);
    }

    [Fact]
    public void Dead_broker_keeps_its_replicas()
    {
        var image = RandomImages.Brokers(3).WithTopic(RandomImages.Topic("t", [1, 2], [2, 1], [3, 1]));
        image = image with { Brokers = image.Brokers.SetItem(3, image.Brokers[3] with { IsAlive = false }) };
        Assert.DoesNotContain(RebalancePlanner.Plan(image, "p").Moves, move => move.From.Contains(3) && !move.To.Contains(3));
    }

    [Fact]
    public void Leadership_moves_copy_no_data()
    {
        var image = RandomImages.Brokers(3).WithTopic(RandomImages.Topic("t", [1, 2], [1, 2], [1, 3], [2, 3], [3, 2], [3, 1]));
        image = image.WithTopic(RandomImages.Topic("u", [1, 3, 2], [1, 2, 3]));
        var plan = RebalancePlanner.Plan(image, "p");
        Assert.All(plan.Moves, move => Assert.Equal(move.From.Order(), move.To.Order()));
        Assert.InRange(plan.Shares.Max(share => share.PreferredLeadersAfter) - plan.Shares.Min(share => share.PreferredLeadersAfter), 0, 1);
    }

    private static void Check(ClusterImage image, RebalancePlan plan) => Assert.All(plan.Moves, move =>
        {
        Assert.Equal(image.FindServed(move.Topic)!.Partitions[move.Partition].Replicas, move.From);
        Assert.Equal(move.From.Count, move.To.Distinct().Count());
        Assert.All(move.To.Except(move.From), id => Assert.True(image.Brokers[id].TakesReplicas));
        Assert.NotEmpty(move.Reason);
    });

    private static ClusterImage Carry(ClusterImage image, RebalancePlan plan) => plan.Moves.Aggregate(image, (made, move) =>
        made.WithPartition(new(made.Names[move.Topic], move.Partition), ImagePartition.Create([.. move.To])));
}
