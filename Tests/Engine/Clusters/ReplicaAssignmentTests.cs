using FsCheck.Fluent;
using OrleansMq.Clusters;

namespace OrleansMq.Tests.Engine.Clusters;

public class ReplicaAssignmentTests
{
    [Fact]
    public void Partition_has_replicas_on_different_brokers_and_as_many_racks_as_possible() => Properties.ForAll(
        from brokers in Gen.Choose(1, 9)
        from racks in Gen.Choose(0, 4)
        from partitions in Gen.Choose(1, 40)
        from replicationFactor in Gen.Choose(1, 3)
        select (brokers, racks, partitions, replicationFactor: Math.Min(replicationFactor, brokers)),
        given =>
        {
            var image = RandomImages.Cluster(new Random(1), given.brokers, given.racks, topics: 0);
            var assigned = ReplicaAssignment.Assign(image, given.partitions, given.replicationFactor).Next;
            Assert.Equal(given.partitions, assigned.Length);
            var racks = given.racks == 0 ? given.brokers : Math.Min(given.racks, given.brokers);
            Assert.All(assigned, replicas =>
            {
                Assert.Equal(given.replicationFactor, replicas.Distinct().Count());
                Assert.Equal(Math.Min(racks, given.replicationFactor),
                    replicas.Select(id => given.racks == 0 ? id : id % given.racks).Distinct().Count());
            });
            var leaders = image.Brokers.Keys.Select(id => assigned.Count(replicas => replicas[0] == id)).ToArray();
            Assert.InRange(leaders.Max() - leaders.Min(), 0, 1);
        });

    [Fact]
    public void Many_small_topics_spread_like_one_large_topic()
    {
        var image = RandomImages.Brokers(5);
        for (var topic = 0; topic < 50; topic++)
        {
            var replicas = ReplicaAssignment.Assign(image, 1, 3).Next;
            image = image.WithTopic(RandomImages.Topic($"t{topic}", [.. replicas[0]]));
        }
        Assert.All(image.Brokers.Keys, id =>
        {
            Assert.Equal(10, image.AllPartitions().Count(found => found.Partition.Replicas[0] == id));
            Assert.Equal(30, image.AllPartitions().Count(found => found.Partition.Replicas.Contains(id)));
        });
    }

    [Fact]
    public void Dead_and_draining_brokers_get_no_replicas()
    {
        var image = RandomImages.Brokers(5);
        image = image with
        {
            Brokers = image.Brokers.SetItem(2, image.Brokers[2] with { IsAlive = false })
                .SetItem(4, image.Brokers[4] with { IsDraining = true }),
        };
        Assert.All(ReplicaAssignment.Assign(image, 10, 3).Next, replicas => Assert.Equal([1, 3, 5], replicas.Order()));
        var refused = ReplicaAssignment.Assign(image, 10, 4);
        Assert.Equal(ErrorCode.InvalidReplicationFactor, refused.Error);
        Assert.Contains("3 brokers are alive", refused.Message, StringComparison.Ordinal);
    }
}
