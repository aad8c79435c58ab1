using OrleansMq.Api;
using OrleansMq.Tests.PostgreSql.Server;
using OrleansMq.Tests.Shared;

namespace OrleansMq.Tests.Cluster.Catalogue;

/// <summary>The first silo of a cluster is alone when it declares its topics.</summary>
public sealed class ReplicaGrowthTests(PostgreSqlFixture postgres) : IClassFixture<PostgreSqlFixture>
{
    private const int Records = 20;

    [SkippableFact]
    public async Task Topics_of_the_first_broker_get_their_replicas_when_others_join()
    {
        await using var cluster = await ReplicatedCluster.StartAsync(postgres, brokers: 1);
        var admin = cluster.Broker(1);
        await admin.CreateTopicAsync(new NewTopic("default", 2));
        await admin.CreateTopicAsync(new NewTopic("declared", 1, 2) { AllowFewerReplicas = true });
        var single = await cluster.Broker(1).CreateTopicAsync(new NewTopic("single", 1, 1));
        Assert.Null(single.IntendedReplicationFactor);
        Assert.Equal(ErrorCode.InvalidReplicationFactor,
            (await Assert.ThrowsAsync<BrokerException>(async () => await admin.CreateTopicAsync(new NewTopic("asked", 1, 3)))).Code);
        Assert.Equal((3, 2), ((await admin.DescribeTopicAsync("default")).IntendedReplicationFactor,
            (await admin.DescribeTopicAsync("declared")).IntendedReplicationFactor));
        for (var number = 0; number < Records; number++)
            Assert.Equal(ErrorCode.None, (await cluster.AppendAsync(1, new TopicPartition("default", number % 2), $"{number}")).Error);

        await cluster.StartAsync(2);
        await UntilGrownAsync(cluster, "default", 2);
        await UntilGrownAsync(cluster, "declared", 2);
        Assert.Equal((3, null), ((await admin.DescribeTopicAsync("default")).IntendedReplicationFactor,
            (await admin.DescribeTopicAsync("declared")).IntendedReplicationFactor));
        Assert.Equal("1", await MinInsyncAsync(admin, "default"));

        await cluster.StartAsync(3);
        await UntilGrownAsync(cluster, "default", 3);
        var grown = await admin.DescribeTopicAsync("default");
        Assert.Null(grown.IntendedReplicationFactor);
        Assert.Equal("2", await MinInsyncAsync(admin, "default"));
        Assert.Single((await admin.DescribeTopicAsync("single")).Partitions[0].Replicas);
        Assert.Equal(2, (await admin.DescribeTopicAsync("declared")).Partitions[0].Replicas.Count);

        await cluster.KillAsync(1);
        var read = new List<string>();
        for (var partition = 0; partition < 2; partition++)
            read.AddRange(await ReadAsync(cluster, new TopicPartition("default", partition)));
        Assert.Equal(Enumerable.Range(0, Records).Select(static number => $"{number}").Order(), read.Order());
    }

    /// <summary>Its document says what the topic is to have; the next controller reads it.</summary>
    [SkippableFact]
    public async Task Replicas_are_added_after_a_restart_of_the_cluster()
    {
        await using var cluster = await ReplicatedCluster.StartAsync(postgres, brokers: 1);
        await cluster.Broker(1).CreateTopicAsync(new NewTopic("orders", 1));
        var partition = new TopicPartition("orders", 0);
        for (var number = 0; number < Records; number++)
            Assert.Equal(ErrorCode.None, (await cluster.AppendAsync(1, partition, $"{number}")).Error);
        await cluster.StopAsync(1);
        await cluster.StartAsync(1);
        await Task.WhenAll(cluster.StartAsync(2), cluster.StartAsync(3));
        await UntilGrownAsync(cluster, "orders", 3);
        await cluster.KillAsync(1);
        Assert.Equal(Enumerable.Range(0, Records).Select(static number => $"{number}"), await ReadAsync(cluster, partition));
    }

    private static Task UntilGrownAsync(ReplicatedCluster cluster, string topic, int replicas) => Wait.UntilAsync(
        () => cluster.Running.All(broker => cluster.ImageOf(broker).FindServed(topic) is { } served && served.ReplicationFactor == replicas
            && served.Partitions.All(partition => partition.Target.IsEmpty && partition.Replicas.Length == replicas
                && partition.Isr.Length == replicas)),
        $"topic {topic} has {replicas} replicas");

    private static async Task<string> MinInsyncAsync(IBroker admin, string topic) =>
        (await admin.DescribeTopicAsync(topic)).Configs.Single(static config => config.Name == "min.insync.replicas").Value;

    private static async Task<string[]> ReadAsync(ReplicatedCluster cluster, TopicPartition partition)
    {
        string[] values = [];
        await Wait.UntilAsync(async () =>
        {
            using var read = await cluster.Broker(2).FetchAsync(new FetchRequest(partition, 0));
            if (read.Error != ErrorCode.None)
                return false;
            values = [.. TestBatches.Read(read.Records).Select(static record => record.Value)];
            return values.Length > 0;
        }, $"{partition} is read from another broker");
        return values;
    }
}
