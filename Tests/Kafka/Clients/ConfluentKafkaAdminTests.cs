using Confluent.Kafka;
using Confluent.Kafka.Admin;
using OrleansMq.Tests.Kafka.Connections;
using OrleansMq.Tests.Shared;
using KafkaOffset = Confluent.Kafka.Admin.OffsetSpec;
using KafkaPartition = Confluent.Kafka.TopicPartition;

namespace OrleansMq.Tests.Kafka.Clients;

/// <summary>The requests of a .NET administration program through Confluent.Kafka.</summary>
public sealed class ConfluentKafkaAdminTests : IAsyncLifetime
{
    private KafkaServer _server = null!;

    public async Task InitializeAsync() => _server = await KafkaServer.StartAsync();

    public async Task DisposeAsync() => await _server.DisposeAsync();

    [SkippableFact]
    public async Task Topics_and_their_configuration_are_created_altered_and_deleted()
    {
        Librdkafka.Require();
        using var admin = Admin();
        var wanted = new TopicSpecification { Name = "orders", NumPartitions = 3, ReplicationFactor = 1,
            Configs = new() { ["retention.ms"] = "100000" } };
        await admin.CreateTopicsAsync([wanted]);
        var twice = await Assert.ThrowsAsync<CreateTopicsException>(() => admin.CreateTopicsAsync([wanted]));
        Assert.Equal(Confluent.Kafka.ErrorCode.TopicAlreadyExists, twice.Results[0].Error.Code);

        Assert.Equal(("100000", false), await ConfigAsync(admin, "retention.ms"));
        var resource = new ConfigResource { Type = ResourceType.Topic, Name = "orders" };
        await admin.AlterConfigsAsync(new() { [resource] = [new ConfigEntry { Name = "cleanup.policy", Value = "compact" }] });
        Assert.Equal(("compact", false), await ConfigAsync(admin, "cleanup.policy"));
        // The old request replaces the whole configuration.
        Assert.Equal(("604800000", true), await ConfigAsync(admin, "retention.ms"));

        await admin.CreatePartitionsAsync([new PartitionsSpecification { Topic = "orders", IncreaseTo = 5 }]);
        var metadata = admin.GetMetadata("orders", KafkaServer.Patience);
        Assert.Equal([0, 1, 2, 3, 4], metadata.Topics[0].Partitions.Select(static partition => partition.PartitionId).Order());
        Assert.All(metadata.Topics[0].Partitions,
            static partition => Assert.Equal((0, 1, 1), (partition.Leader, partition.Replicas.Length, partition.InSyncReplicas.Length)));

        await admin.DeleteTopicsAsync(["orders"]);
        var missing = await Assert.ThrowsAsync<DeleteTopicsException>(() => admin.DeleteTopicsAsync(["orders"]));
        Assert.Equal(Confluent.Kafka.ErrorCode.UnknownTopicOrPart, missing.Results[0].Error.Code);
    }

    [SkippableFact]
    public async Task Groups_are_listed_described_reset_and_deleted()
    {
        Librdkafka.Require();
        await FillAsync();
        var partition = new KafkaPartition("orders", 0);
        using (var consumer = new ConsumerBuilder<Ignore, string>(new ConsumerConfig
        {
            BootstrapServers = _server.Address,
            ClientId = "reader",
            GroupId = "readers",
            AutoOffsetReset = AutoOffsetReset.Earliest,
            EnableAutoCommit = false,
        }).Build())
        {
            using var admin = Admin();
            consumer.Subscribe("orders");
            var read = consumer.Consume(KafkaServer.Patience);
            consumer.Commit(read);
            Assert.Equal("readers", Assert.Single((await admin.ListConsumerGroupsAsync()).Valid).GroupId);
            var described = Assert.Single((await admin.DescribeConsumerGroupsAsync(["readers"])).ConsumerGroupDescriptions);
            Assert.Equal((ConsumerGroupState.Stable, "range"), (described.State, described.PartitionAssignor));
            var member = Assert.Single(described.Members);
            Assert.Equal(("reader", partition), (member.ClientId, Assert.Single(member.Assignment.TopicPartitions)));
            Assert.Equal(Confluent.Kafka.ErrorCode.NonEmptyGroup,
                (await Assert.ThrowsAsync<DeleteGroupsException>(() => admin.DeleteGroupsAsync(["readers"]))).Results[0].Error.Code);
            consumer.Close();
        }
        using var operatorOf = Admin();
        Assert.Equal(1, await CommittedAsync(operatorOf));
        await operatorOf.AlterConsumerGroupOffsetsAsync(
            [new ConsumerGroupTopicPartitionOffsets("readers", [new TopicPartitionOffset(partition, 7)])]);
        Assert.Equal(7, await CommittedAsync(operatorOf));
        await operatorOf.DeleteConsumerGroupOffsetsAsync("readers", [partition]);
        Assert.Equal(Offset.Unset.Value, await CommittedAsync(operatorOf));
        await operatorOf.DeleteGroupsAsync(["readers"]);
        Assert.Empty((await operatorOf.ListConsumerGroupsAsync()).Valid);
    }

    [SkippableFact]
    public async Task Records_are_deleted_up_to_an_offset()
    {
        Librdkafka.Require();
        await FillAsync();
        using var admin = Admin();
        var left = await admin.DeleteRecordsAsync([new TopicPartitionOffset("orders", 0, 4)]);
        Assert.Equal(4, Assert.Single(left).Offset.Value);
        left = await admin.DeleteRecordsAsync([new TopicPartitionOffset("orders", 0, Offset.End)]);
        Assert.Equal(10, Assert.Single(left).Offset.Value);
    }

    [SkippableFact]
    public async Task Newer_admin_requests_are_answered()
    {
        // ElectLeaders is the newest of these requests.
        Librdkafka.Require(atLeast: "2.6");
        await FillAsync();
        using var admin = Admin();
        var cluster = await admin.DescribeClusterAsync();
        Assert.Equal((_server.Broker.ClusterId, 0, 1), (cluster.ClusterId, cluster.Controller.Id, cluster.Nodes.Count));
        var topic = Assert.Single((await admin.DescribeTopicsAsync(TopicCollection.OfTopicNames(["orders"]))).TopicDescriptions);
        Assert.Equal(("orders", 1, 0), (topic.Name, topic.Partitions.Count, topic.Partitions[0].Leader.Id));
        Assert.NotEqual("AAAAAAAAAAAAAAAAAAAAAA", topic.TopicId.ToString());

        var partition = new KafkaPartition("orders", 0);
        Assert.Equal(0, await FoundAsync(admin, partition, KafkaOffset.Earliest()));
        Assert.Equal(10, await FoundAsync(admin, partition, KafkaOffset.Latest()));
        Assert.Equal(9, await FoundAsync(admin, partition, KafkaOffset.MaxTimestamp()));
        Assert.Equal(3, await FoundAsync(admin, partition, KafkaOffset.ForTimestamp(TestBatches.FirstTimestamp + 2500)));

        var resource = new ConfigResource { Type = ResourceType.Topic, Name = "orders" };
        await admin.IncrementalAlterConfigsAsync(new() { [resource] = [Set("retention.ms", "5000")] });
        await admin.IncrementalAlterConfigsAsync(new() { [resource] = [Set("cleanup.policy", "compact")] });
        Assert.Equal(("5000", false), await ConfigAsync(admin, "retention.ms"));
        Assert.Equal(("compact", false), await ConfigAsync(admin, "cleanup.policy"));

        // The preferred replica leads already, which every client reports as a kind of error.
        var elected = await Assert.ThrowsAsync<ElectLeadersException>(() => admin.ElectLeadersAsync(ElectionType.Preferred, [partition]));
        Assert.Equal(Confluent.Kafka.ErrorCode.ElectionNotNeeded, Assert.Single(elected.Results.TopicPartitions).Error.Code);
    }

    private static ConfigEntry Set(string name, string value) =>
        new() { Name = name, Value = value, IncrementalOperation = AlterConfigOpType.Set };

    private static async Task<long> FoundAsync(IAdminClient admin, KafkaPartition partition, KafkaOffset spec) =>
        Assert.Single(
            (await admin.ListOffsetsAsync([new TopicPartitionOffsetSpec { TopicPartition = partition, OffsetSpec = spec }])).ResultInfos)
            .TopicPartitionOffsetError.Offset.Value;

    private static async Task<long> CommittedAsync(IAdminClient admin)
    {
        var found =
            await admin.ListConsumerGroupOffsetsAsync([new ConsumerGroupTopicPartitions("readers", [new KafkaPartition("orders", 0)])]);
        return Assert.Single(Assert.Single(found).Partitions).Offset.Value;
    }

    private static async Task<(string Value, bool IsDefault)> ConfigAsync(IAdminClient admin, string name)
    {
        var found = await admin.DescribeConfigsAsync([new ConfigResource { Type = ResourceType.Topic, Name = "orders" }]);
        return (found[0].Entries[name].Value, found[0].Entries[name].IsDefault);
    }

    private async Task FillAsync()
    {
        await _server.Broker.CreateTopicAsync(new Api.NewTopic("orders", 1));
        await _server.Broker.ProduceAsync(new TopicPartition("orders", 0),
            TestBatches.Of([.. Enumerable.Range(0, 10).Select(static number => $"{number}")]), Acks.All);
    }

    private IAdminClient Admin() => new AdminClientBuilder(new AdminClientConfig { BootstrapServers = _server.Address }).Build();
}
