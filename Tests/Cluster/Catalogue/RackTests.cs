using OrleansMq.Api;
using OrleansMq.Grains.Hosting;
using OrleansMq.Tests.PostgreSql.Server;

namespace OrleansMq.Tests.Cluster.Catalogue;

/// <summary>Brokers on racks: the replicas of a partition must not share a failure domain.</summary>
public sealed class RackTests(PostgreSqlFixture postgres) : ReplicatedClusterTests(postgres)
{
    [SkippableFact]
    public async Task New_topics_have_replicas_on_different_racks()
    {
        await Cluster.StartAsync(4);
        await Cluster.SettleAsync();
        var created = await Cluster.Broker(2).CreateTopicAsync(new NewTopic("orders", 8, 2));
        Assert.All(created.Partitions, partition => Assert.Equal(["east", "west"], partition.Replicas.Select(RackOf).Order()));
        Assert.All(Cluster.Running, broker => Assert.Equal(4, created.Partitions.Count(partition => partition.Replicas.Contains(broker))));
        Assert.All(Cluster.Running, broker => Assert.Equal(2, created.Partitions.Count(partition => partition.Replicas[0] == broker)));
        Assert.All((await Cluster.Broker(3).DescribeClusterAsync()).Brokers, broker => Assert.Equal(RackOf(broker.BrokerId), broker.Rack));
        // More replicas than racks: each rack has at least one.
        var wide = await Cluster.Broker(1).CreateTopicAsync(new NewTopic("wide", 4, 3));
        Assert.All(wide.Partitions, partition => Assert.Equal(2, partition.Replicas.Select(RackOf).Distinct().Count()));
    }

    private protected override BrokerClusterOptions Configure(int broker, BrokerClusterOptions options) =>
        options with { Rack = RackOf(broker) };

    private static string RackOf(int broker) => broker <= 2 ? "east" : "west";
}
