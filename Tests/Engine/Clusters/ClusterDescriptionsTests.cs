using OrleansMq.Api;
using OrleansMq.Clusters;

namespace OrleansMq.Tests.Engine.Clusters;

public class ClusterDescriptionsTests
{
    [Fact]
    public void Unhealthy_partitions_and_brokers_are_named()
    {
        var topic = RandomImages.Topic("t", [1, 2, 3], [2, 3, 1], [3, 1, 2], [1, 2, 3]);
        var image = RandomImages.Brokers(3).WithTopic(topic with
        {
            Partitions = topic.Partitions
                .SetItem(1, topic.Partitions[1] with { Isr = [2] })
                .SetItem(2, topic.Partitions[2] with { Leader = -1, Isr = [3] }),
        });
        image = image with { Version = 7, Controller = 1, Brokers = image.Brokers.SetItem(3, image.Brokers[3] with { IsAlive = false }) };
        var cluster = ClusterDescriptions.Describe(image, "c", _ => 2);
        Assert.Equal((1, 7L, 1, 4), (cluster.Controller, cluster.MetadataVersion, cluster.Topics, cluster.Partitions));
        Assert.Equal([new("t", 2)], cluster.OfflinePartitions);
        Assert.Equal([new("t", 0), new("t", 1), new("t", 2), new("t", 3)], cluster.UnderReplicatedPartitions);
        Assert.Equal([new("t", 1), new("t", 2)], cluster.BelowMinInSyncPartitions);
        Assert.Equal([(BrokerState.Active, 2, 2, 4), (BrokerState.Active, 1, 1, 4), (BrokerState.Dead, 0, 1, 4)],
            cluster.Brokers.Select(broker => (broker.State, broker.Leaders, broker.PreferredLeaders, broker.Replicas)));
    }
}
