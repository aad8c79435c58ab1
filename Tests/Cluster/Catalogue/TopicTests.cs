using OrleansMq.Api;
using OrleansMq.Grains.Topics;
using OrleansMq.Tests.PostgreSql.Server;
using OrleansMq.Tests.Shared;

namespace OrleansMq.Tests.Cluster.Catalogue;

/// <summary>Topics of a cluster of three brokers, from creation to the deletion of their last file.</summary>
public sealed class TopicTests(PostgreSqlFixture postgres) : ReplicatedClusterTests(postgres)
{
    [SkippableFact]
    public async Task Created_topic_has_three_replicas_and_is_known_on_every_broker()
    {
        var created = await Cluster.Broker(1).CreateTopicAsync(new NewTopic("orders", 6));
        Assert.All(created.Partitions, partition => Assert.Equal([1, 2, 3], partition.Replicas.Order()));
        // The create call waits for the leaders, but not indefinitely: on a busy machine some leaders and some metadata come later.
        await Cluster.UntilKnownAsync(image => image.FindServed("orders") is { Serving: 6 } topic
            && new[] { 1, 2, 3 }.All(broker => topic.Partitions.Count(partition => partition.Leader == broker) == 2), "all are led");
        Assert.Equal("2", created.Configs.Single(config => config.Name == "min.insync.replicas").Value);
        foreach (var broker in Cluster.Running)
        {
            Assert.Equal(6, (await Cluster.Broker(broker).GetTopicAsync("orders")).Partitions);
            Assert.Equal("orders", Assert.Single(await Cluster.Broker(broker).ListTopicsAsync()).Name);
        }
        await Cluster.UntilInSyncAsync("orders");
        var cluster = await Cluster.Broker(2).DescribeClusterAsync();
        Assert.Equal((1, 6, 0, 0),
            (cluster.Topics, cluster.Partitions, cluster.OfflinePartitions!.Count, cluster.UnderReplicatedPartitions!.Count));
        Assert.All(cluster.Brokers, broker => Assert.Equal((BrokerState.Active, 2, 6), (broker.State, broker.Leaders, broker.Replicas)));
    }

    [SkippableFact]
    public async Task Records_produced_on_one_broker_are_read_on_the_others()
    {
        await Cluster.Broker(1).CreateTopicAsync(new NewTopic("orders", 3));
        for (var number = 0; number < 3; number++)
        {
            var partition = new TopicPartition("orders", number);
            foreach (var broker in Cluster.Running)
                Assert.Equal(ErrorCode.None, (await Cluster.AppendAsync(broker, partition, $"from {broker}")).Error);
            foreach (var broker in Cluster.Running)
            {
                using var read = await Cluster.Broker(broker).FetchAsync(new FetchRequest(partition, 0));
                Assert.Equal(["from 1", "from 2", "from 3"], TestBatches.Read(read.Records).Select(record => record.Value));
            }
        }
    }

    [SkippableFact]
    public async Task More_replicas_than_brokers_are_refused()
    {
        var refused = await Assert.ThrowsAsync<BrokerException>(async () => await Cluster.Broker(2)
            .CreateTopicAsync(new NewTopic("orders", 1, 4)));
        Assert.Equal(ErrorCode.InvalidReplicationFactor, refused.Code);
        Assert.Empty(await Cluster.Broker(2).ListTopicsAsync());
    }

    [SkippableFact]
    public async Task Partition_count_and_configuration_change_on_every_broker()
    {
        await Cluster.Broker(1).CreateTopicAsync(new NewTopic("orders", 1, 2));
        var grown = await Cluster.Broker(2).AddPartitionsAsync("orders", 4);
        Assert.All(grown.Partitions, partition => Assert.Equal(2, partition.Replicas.Count));
        await Cluster.UntilInSyncAsync("orders");
        await Cluster.Broker(3)
            .AlterTopicAsync("orders", new Dictionary<string, string?> { ["retention.ms"] = "123456", ["min.insync.replicas"] = "2" });
        await Cluster.UntilKnownAsync(image => image.FindServed("orders")?.Configs.GetValueOrDefault("retention.ms") == "123456",
            "the change is known");
        foreach (var broker in Cluster.Running)
        {
            Assert.Equal(4, (await Cluster.Broker(broker).GetTopicAsync("orders")).Partitions);
            Assert.All(Cluster.ReplicasOn(broker),
                replica => Assert.Equal((123456, 2), (replica.Partition.Config.RetentionMs, replica.Partition.Config.MinInsyncReplicas)));
        }
        Assert.Equal(8, Cluster.Running.Sum(broker => Cluster.ReplicasOn(broker).Count));
    }

    [SkippableFact]
    public async Task Deleted_topic_leaves_no_files_even_on_a_broker_that_was_down()
    {
        await Cluster.Broker(1).CreateTopicAsync(new NewTopic("orders", 3));
        await Cluster.Broker(1).CreateTopicAsync(new NewTopic("kept", 1));
        await Cluster.UntilInSyncAsync("orders");
        await Cluster.UntilInSyncAsync("kept");
        await Cluster.StopAsync(3);
        await Cluster.Broker(2).DeleteTopicAsync("orders");
        Assert.Equal(["kept-0"], Cluster.DirectoriesOf(1));
        Assert.Equal(["kept-0"], Cluster.DirectoriesOf(2));
        Assert.Equal(4, Cluster.DirectoriesOf(3).Length);
        await Assert.ThrowsAsync<BrokerException>(async () => await Cluster.Broker(1).GetTopicAsync("orders"));
        var again = await Cluster.Broker(1).CreateTopicAsync(new NewTopic("orders", 1, 2));
        await Cluster.StartAsync(3);
        await Wait.UntilAsync(() => Cluster.DirectoriesOf(3) is ["kept-0"], "what slept is cleaned");
        await Wait.UntilAsync(() => Cluster.ImageOf(1).Deleted.IsEmpty, "every broker has confirmed the deletion");
        Assert.Equal(again.TopicId, (await Cluster.Broker(3).GetTopicAsync("orders")).TopicId);
    }

    [SkippableFact]
    public async Task Deleted_topic_leaves_nothing_although_its_confirmation_met_a_fault_that_nobody_expected()
    {
        var failures = 0;
        Cluster.FailCall = method => method == nameof(IClusterOwnerGrain.ConfirmDeletedAsync) && Interlocked.Increment(ref failures) <= 4
            ? new InvalidOperationException("A fault of the test.") : null;
        await Cluster.Broker(1).CreateTopicAsync(new NewTopic("orders", 2, 3));
        await Cluster.Broker(1).DeleteTopicAsync("orders");
        await Wait.UntilAsync(() => Task.FromResult(Cluster.Running.All(broker => Cluster.DirectoriesOf(broker).Length == 0
            && Cluster.ImageOf(broker).Deleted.IsEmpty)), "every broker has confirmed the deletion");
        Assert.True(Volatile.Read(ref failures) > 4);
    }

    [SkippableFact]
    public async Task Another_broker_takes_over_metadata_when_the_controller_is_killed()
    {
        await Cluster.Broker(1).CreateTopicAsync(new NewTopic("orders", 6));
        await Cluster.UntilInSyncAsync("orders");
        var before = Cluster.ImageOf(1);
        await Cluster.KillAsync(before.Controller);
        await Cluster.SettleAsync();
        var survivors = Cluster.Running.ToArray();
        await Wait.UntilAsync(() => survivors.All(broker => Cluster.ImageOf(broker) is var image && image.Epoch > before.Epoch
            && survivors.Contains(image.Controller)
            && image.FindServed("orders")!.Partitions.All(partition => survivors.Contains(partition.Leader))),
            "the metadata is made elsewhere, and every partition led");
        var created = await Wait.AnsweredAsync(() => Cluster.Broker(survivors[0]).CreateTopicAsync(new NewTopic("more", 2, 2)));
        Assert.All(created.Partitions, partition => Assert.Equal(survivors, partition.Replicas.Order()));
        await Cluster.UntilInSyncAsync("more");
        await Wait.UntilAsync(async () => (await Cluster.Broker(survivors[1]).DescribeClusterAsync()).UnderReplicatedPartitions!.Count == 6,
            "the dead one is missed");
        var cluster = await Wait.AnsweredAsync(() => Cluster.Broker(survivors[1]).DescribeClusterAsync());
        Assert.Equal(BrokerState.Dead, cluster.Brokers.Single(broker => broker.BrokerId == before.Controller).State);
    }
}
