using System.Net;
using System.Net.Sockets;
using System.Text.Json;
using Confluent.Kafka;
using OrleansMq.Tests.Kafka.Connections;
using OrleansMq.Tests.Kafka.Schemas;
using OrleansMq.Tests.Process.Running;
using OrleansMq.Tests.Shared;

namespace OrleansMq.Tests.ProcessClusters;

/// <summary>What each of three silos tells Kafka clients about the others.</summary>
[Collection(SharedCluster.Name)]
public sealed class KafkaGatewayTests(SharedCluster shared)
{
    private const short Produce = 0, Fetch = 1, DescribeLogDirs = 35;

    [SkippableFact]
    public async Task Every_broker_names_the_leaders_and_a_follower_redirects()
    {
        Librdkafka.Require();
        var cluster = await shared.UpAsync();
        (await cluster.OmqAsync(["topic", "create", "led", "--partitions", "3", "--replication-factor", "3"])).Expect(0);
        var described =
            JsonSerializer.Deserialize<JsonElement>((await cluster.OmqAsync(["topic", "describe", "led", "--json"])).Expect(0).Text);
        var topicId = described.GetProperty("topicId").GetGuid();
        var leaders = await cluster.LedAsync("led");
        Assert.Equal([1, 2, 3], leaders.Order());
        foreach (var (broker, told) in cluster.Brokers)
        {
            var address = told.GetProperty("kafka").GetString()!;
            using var admin = new AdminClientBuilder(new AdminClientConfig { BootstrapServers = address }).Build();
            var metadata = await ToldAsync(admin, "led", leaders);
            Assert.Equal(cluster.Brokers.Select(static pair => (pair.Key, pair.Value.GetProperty("kafka").GetString())),
                metadata.Brokers.Select(static one => (one.BrokerId, (string?)$"{one.Host}:{one.Port}")).Order());
            Assert.Equal(leaders, metadata.Topics[0].Partitions.OrderBy(static partition => partition.PartitionId)
                .Select(static partition => partition.Leader));
            Assert.All(metadata.Topics[0].Partitions, static partition => Assert.Equal(3, partition.InSyncReplicas.Length));

            // The first partition that another broker leads.
            var other = leaders.FindIndex(leader => leader != broker);
            var leader = cluster.Brokers[leaders[other]].GetProperty("kafka").GetString()!.Split(':');
            var expected = $"NodeEndpoints[0]\n    NodeId: {leaders[other]}\n    Host: \"{leader[0]}\"\n    Port: {leader[1]}\n";
            foreach (var (key, version, partition) in new (short, short, string)[] { (Produce, 10, "Index"), (Fetch, 16, "Partition") })
            {
                var text = await AskAsync(address, key, version, ("Name", "led"), (partition, other), ("TopicId", topicId));
                Assert.Contains("ErrorCode: 6\n", text, StringComparison.Ordinal);
                Assert.Contains($"LeaderId: {leaders[other]}\n", text, StringComparison.Ordinal);
                Assert.Contains(expected, text, StringComparison.Ordinal);
            }
        }
    }

    [SkippableFact]
    public async Task Every_broker_describes_all_replicas()
    {
        var cluster = await shared.UpAsync();
        (await cluster.OmqAsync(["topic", "create", "held", "--partitions", "3", "--replication-factor", "3"])).Expect(0);
        (await cluster.OmqAsync(["produce", "held"], "one\ntwo\nthree\nfour\nfive\nsix\n"u8.ToArray())).Expect(0);
        await cluster.HealthyAsync();
        var told = new List<string>();
        foreach (var broker in cluster.Brokers.Values)
            told.Add(await AskAsync(broker.GetProperty("kafka").GetString()!, DescribeLogDirs, 4, ("Topics", -1)));
        foreach (var text in told)
        {
            var held = text[text.IndexOf("Name: \"held\"", StringComparison.Ordinal)..];
            foreach (var partition in new[] { 0, 1, 2 })
                Assert.Contains($"PartitionIndex: {partition}\n", held, StringComparison.Ordinal);
        }
    }

    [SkippableFact]
    public async Task Groups_of_several_coordinators_are_listed_once_each()
    {
        Librdkafka.Require();
        var cluster = await shared.UpAsync();
        (await cluster.OmqAsync(["topic", "create", "grouped", "--partitions", "1", "--replication-factor", "3"])).Expect(0);
        var groups = Enumerable.Range(0, 9).Select(static number => $"listed-{number}").ToArray();
        using var admin = new AdminClientBuilder(new AdminClientConfig { BootstrapServers = cluster.Kafka }).Build();
        var coordinators = new HashSet<int>();
        foreach (var group in groups)
        {
            var offset = new TopicPartitionOffset("grouped", 0, 0);
            await admin.AlterConsumerGroupOffsetsAsync([new ConsumerGroupTopicPartitionOffsets(group, [offset])]);
            coordinators.Add(
                JsonSerializer.Deserialize<JsonElement>((await cluster.OmqAsync(["group", "describe", group, "--json"])).Expect(0).Text)
                .GetProperty("coordinator").GetInt32());
        }
        Assert.True(coordinators.Count > 1, "All groups are coordinated by one broker.");

        // librdkafka asks every broker and returns the union of their answers.
        var listed = await admin.ListConsumerGroupsAsync();
        Assert.Equal(groups, listed.Valid.Select(static group => group.GroupId)
            .Where(static id => id.StartsWith("listed-", StringComparison.Ordinal)).Order());
        var shown = await ClientProgram.JavaAsync("org.apache.kafka.tools.consumer.group.ConsumerGroupCommand",
            ["--bootstrap-server", cluster.Kafka, "--list"]);
        Assert.Equal(groups, shown.Split('\n').Where(static line => line.StartsWith("listed-", StringComparison.Ordinal)).Order());
    }

    [SkippableFact]
    public async Task Auto_created_topic_has_the_clusters_defaults()
    {
        Librdkafka.Require();
        var cluster = await shared.UpAsync();
        using (var producer = new ProducerBuilder<Null, string>(new ProducerConfig { BootstrapServers = cluster.Kafka }).Build())
            await producer.ProduceAsync("made-by-writing", new Message<Null, string> { Value = "first" });
        var described =
            JsonSerializer.Deserialize<JsonElement>((await cluster.OmqAsync(["topic", "describe", "made-by-writing", "--json"])).Expect(0)
                .Text);
        Assert.All(described.GetProperty("partitions").EnumerateArray(),
            static partition => Assert.Equal(3, partition.GetProperty("replicas").GetArrayLength()));
        Assert.Equal("first\n", (await cluster.OmqAsync(["consume", "made-by-writing", "--max", "1"])).Expect(0).Text);
    }

    // Polls, since each broker learns of leaders and in-sync replicas by itself.
    private static Task<Metadata> ToldAsync(IAdminClient admin, string topic, List<int> leaders) => RunningCluster.UntilAsync(
        () => Task.FromResult(admin.GetMetadata(topic, RunningProgram.Patience)),
        metadata => metadata.Topics[0].Partitions.OrderBy(static one => one.PartitionId).Select(static one => one.Leader)
        .SequenceEqual(leaders)
            && metadata.Topics[0].Partitions.All(one => one.InSyncReplicas.Length == leaders.Count),
            "a broker to know the leaders and in-sync replicas");

    private static async Task<string> AskAsync(string address, short key, short version, params (string Field, object? Value)[] values)
    {
        var tcp = new TcpClient { NoDelay = true };
        await tcp.ConnectAsync(IPEndPoint.Parse(address));
        using var client = new WireClient(tcp);
        await client.SendAsync(Frames.Of(key, version, 1, values));
        return MessageText.OfResponse(Schema.Response(key), version, (await client.ReceiveAsync())!, 1);
    }
}
