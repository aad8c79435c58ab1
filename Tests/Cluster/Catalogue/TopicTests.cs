using OrleansMq.Brokers;
using OrleansMq.Tests.PostgreSql.Server;
using OrleansMq.Tests.Shared;

namespace OrleansMq.Tests.Cluster.Catalogue;

/// <summary>Topics of a cluster of three brokers, from their creation to the last of their files.</summary>
public sealed class TopicTests(PostgreSqlFixture postgres) : IClassFixture<PostgreSqlFixture>, IAsyncLifetime
{
    private CatalogueCluster _cluster = null!;

    public async Task InitializeAsync() => _cluster = await CatalogueCluster.StartAsync(postgres);

    public async Task DisposeAsync()
    {
        if (_cluster is not null)
            await _cluster.DisposeAsync();
    }

    [SkippableFact]
    public async Task A_topic_has_three_replicas_and_is_known_everywhere_when_it_is_created()
    {
        var created = await _cluster.Broker(1).CreateTopicAsync(new NewTopic("orders", 6));
        Assert.All(created.Partitions, partition => Assert.Equal([1, 2, 3], partition.Replicas.Order()));
        Assert.All(new[] { 1, 2, 3 }, broker => Assert.Equal(2, created.Partitions.Count(partition => partition.Leader == broker)));
        Assert.Equal("2", created.Configs.Single(config => config.Name == "min.insync.replicas").Value);
        foreach (var broker in _cluster.Running)
        {
            Assert.Equal(6, (await _cluster.Broker(broker).GetTopicAsync("orders")).Partitions);
            Assert.Equal("orders", Assert.Single(await _cluster.Broker(broker).ListTopicsAsync()).Name);
            Assert.Equal(6, _cluster.ImageOf(broker).FindServed("orders")!.Serving);
        }
        await _cluster.UntilInSyncAsync("orders");
        var cluster = await _cluster.Broker(2).DescribeClusterAsync();
        Assert.Equal((1, 6, 0, 0), (cluster.Topics, cluster.Partitions, cluster.OfflinePartitions!.Count, cluster.UnderReplicatedPartitions!.Count));
        Assert.All(cluster.Brokers, broker => Assert.Equal((BrokerState.Active, 2, 6), (broker.State, broker.Leaders, broker.Replicas)));
    }

    [SkippableFact]
    public async Task What_one_broker_takes_the_others_read()
    {
        await _cluster.Broker(1).CreateTopicAsync(new NewTopic("orders", 3));
        for (var number = 0; number < 3; number++)
        {
            var partition = new TopicPartition("orders", number);
            foreach (var broker in _cluster.Running)
                Assert.Equal(ErrorCode.None, (await _cluster.AppendAsync(broker, partition, $"from {broker}")).Error);
            foreach (var broker in _cluster.Running)
            {
                using var read = await _cluster.Broker(broker).FetchAsync(new FetchRequest(partition, 0));
                Assert.Equal(["from 1", "from 2", "from 3"], TestBatches.Read(read.Records).Select(record => record.Value));
            }
        }
    }

    [SkippableFact]
    public async Task More_replicas_than_brokers_are_refused()
    {
        var refused = await Assert.ThrowsAsync<BrokerException>(async () => await _cluster.Broker(2).CreateTopicAsync(new NewTopic("orders", 1, 4)));
        Assert.Equal(ErrorCode.InvalidReplicationFactor, refused.Code);
        Assert.Empty(await _cluster.Broker(2).ListTopicsAsync());
    }

    [SkippableFact]
    public async Task Partitions_and_configuration_change_everywhere()
    {
        await _cluster.Broker(1).CreateTopicAsync(new NewTopic("orders", 1, 2));
        var grown = await _cluster.Broker(2).AddPartitionsAsync("orders", 4);
        Assert.All(grown.Partitions, partition => Assert.Equal(2, partition.Replicas.Count));
        await _cluster.UntilInSyncAsync("orders");
        await _cluster.Broker(3).AlterTopicAsync("orders", new Dictionary<string, string?> { ["retention.ms"] = "123456", ["min.insync.replicas"] = "2" });
        foreach (var broker in _cluster.Running)
        {
            Assert.Equal(4, (await _cluster.Broker(broker).GetTopicAsync("orders")).Partitions);
            Assert.All(_cluster.ReplicasOn(broker), replica => Assert.Equal((123456, 2), (replica.Partition.Config.RetentionMs, replica.Partition.Config.MinInsyncReplicas)));
        }
        Assert.Equal(8, _cluster.Running.Sum(broker => _cluster.ReplicasOn(broker).Count));
    }

    [SkippableFact]
    public async Task A_topic_that_is_deleted_leaves_nothing_also_on_a_broker_that_slept()
    {
        await _cluster.Broker(1).CreateTopicAsync(new NewTopic("orders", 3));
        await _cluster.Broker(1).CreateTopicAsync(new NewTopic("kept", 1));
        await _cluster.UntilInSyncAsync("orders");
        await _cluster.UntilInSyncAsync("kept");
        await _cluster.StopAsync(3);
        await _cluster.Broker(2).DeleteTopicAsync("orders");
        Assert.Equal(["kept-0"], _cluster.DirectoriesOf(1));
        Assert.Equal(["kept-0"], _cluster.DirectoriesOf(2));
        Assert.Equal(4, _cluster.DirectoriesOf(3).Length);
        await Assert.ThrowsAsync<BrokerException>(async () => await _cluster.Broker(1).GetTopicAsync("orders"));
        var again = await _cluster.Broker(1).CreateTopicAsync(new NewTopic("orders", 1, 2));
        await _cluster.StartAsync(3);
        await CatalogueCluster.UntilAsync(() => _cluster.DirectoriesOf(3) is ["kept-0"], "what slept is cleaned");
        await CatalogueCluster.UntilAsync(() => _cluster.ImageOf(1).Deleted.IsEmpty, "nobody has to be told any more");
        Assert.Equal(again.TopicId, (await _cluster.Broker(3).GetTopicAsync("orders")).TopicId);
    }

    [SkippableFact]
    public async Task Another_broker_makes_the_metadata_when_the_one_that_did_is_killed()
    {
        await _cluster.Broker(1).CreateTopicAsync(new NewTopic("orders", 6));
        await _cluster.UntilInSyncAsync("orders");
        var before = _cluster.ImageOf(1);
        await _cluster.KillAsync(before.Controller);
        await _cluster.SettleAsync();
        var survivors = _cluster.Running.ToArray();
        await CatalogueCluster.UntilAsync(() => survivors.All(broker => _cluster.ImageOf(broker) is var image && image.Epoch > before.Epoch
            && survivors.Contains(image.Controller) && image.FindServed("orders")!.Partitions.All(partition => survivors.Contains(partition.Leader))),
            "the metadata is made elsewhere, and every partition led");
        var created = await _cluster.Broker(survivors[0]).CreateTopicAsync(new NewTopic("more", 2, 2));
        Assert.All(created.Partitions, partition => Assert.Equal(survivors, partition.Replicas.Order()));
        await _cluster.UntilInSyncAsync("more");
        var cluster = await _cluster.Broker(survivors[1]).DescribeClusterAsync();
        Assert.Equal(BrokerState.Dead, cluster.Brokers.Single(broker => broker.BrokerId == before.Controller).State);
        Assert.Equal(6, cluster.UnderReplicatedPartitions!.Count);
    }
}
