using OrleansMq.Api;
using OrleansMq.Clusters;
using OrleansMq.Grains.Hosting;
using OrleansMq.Tests.PostgreSql.Server;

namespace OrleansMq.Tests.Cluster.Catalogue;

/// <summary>A broker that was down regains its leaderships automatically.</summary>
public sealed class LeaderReturnTests(PostgreSqlFixture postgres) : ReplicatedClusterTests(postgres)
{
    [SkippableFact]
    public async Task Leadership_returns_to_the_preferred_replica_when_it_is_back()
    {
        await Cluster.Broker(1).CreateTopicAsync(new NewTopic("orders", 6));
        await Cluster.UntilInSyncAsync("orders");
        await Cluster.StopAsync(3);
        await Cluster.UntilKnownAsync(image => IsTrueOfAll(image, partition => partition.Leader is 1 or 2), "the others lead");
        await Cluster.StartAsync(3);
        await Cluster.UntilKnownAsync(image => IsTrueOfAll(image, partition => partition.Leader == partition.Replicas[0]),
            "all is as it was");
        Assert.Equal(2, Cluster.ImageOf(2).FindServed("orders")!.Partitions.Count(partition => partition.Leader == 3));
        for (var number = 0; number < 6; number++)
            Assert.Equal(ErrorCode.None, (await Cluster.AppendAsync(1, new TopicPartition("orders", number), "a")).Error);
    }

    private protected override BrokerClusterOptions Configure(int broker, BrokerClusterOptions options) =>
        options with { AutoLeaderRebalance = true };

    private static bool IsTrueOfAll(ClusterImage image, Func<ImagePartition, bool> condition) =>
        image.FindServed("orders") is { } orders && orders.Partitions.All(condition);
}
