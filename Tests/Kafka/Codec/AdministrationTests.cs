using OrleansMq.Api;
using OrleansMq.Gateways.Kafka.Wire;
using OrleansMq.Tests.Kafka.Connections;
using OrleansMq.Tests.Kafka.Schemas;

namespace OrleansMq.Tests.Kafka.Codec;

/// <summary>The effects and refusals of administration requests, beyond what third-party clients exercise.</summary>
public sealed class AdministrationTests : IAsyncLifetime
{
    private const short CreateTopics = 19, DeleteTopics = 20, DescribeConfigs = 32,
        AlterConfigs = 33, CreatePartitions = 37, IncrementalAlterConfigs = 44, DescribeTopicPartitions = 75, Metadata = 3,
        OffsetFetch = 9, DescribeGroups = 15, ConsumerGroupDescribe = 69, ShareGroupDescribe = 77;

    private GatewayHarness _harness = null!;

    public async Task InitializeAsync() => _harness = await GatewayHarness.StartAsync();

    public async Task DisposeAsync() => await _harness.DisposeAsync();

    [Theory]
    [InlineData("fresh", 2, 1, 0)]
    [InlineData("orders", 2, 1, 36)]
    [InlineData("not/allowed", 2, 1, 17)]
    [InlineData("fresh", 0, 1, 37)]
    [InlineData("fresh", 2, 2, 38)]
    public async Task Validate_only_creates_nothing(string name, int partitions, int factor, int error)
    {
        var text = await AskAsync(CreateTopics, 5, ("ValidateOnly", true), ("Name", name), ("NumPartitions", partitions),
            ("ReplicationFactor", factor), ("Configs", 0));
        Assert.Contains($"ErrorCode: {error}\n", text, StringComparison.Ordinal);
        Assert.Null(_harness.Broker.Metadata.Image.FindServed("fresh"));
    }

    [Theory]
    [InlineData(-1, -1, 0, 0)]
    [InlineData(1, 1, 0, 42)]
    [InlineData(-1, -1, 7, 39)]
    public async Task Manual_replica_assignment_is_accepted_where_valid(int partitions, int factor, int number, int error)
    {
        var text = await AskAsync(CreateTopics, 7, ("NumPartitions", partitions), ("ReplicationFactor", factor), ("Assignments", 1),
            ("PartitionIndex", number),
            ("BrokerIds", 0L), ("Configs", 0));
        Assert.Contains($"ErrorCode: {error}\n", text, StringComparison.Ordinal);
        Assert.Equal(error == 0, _harness.Broker.Metadata.Image.FindServed("fresh") is not null);
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task Assignment_to_an_unknown_broker_creates_no_topic(bool validateOnly)
    {
        var text = await AskAsync(CreateTopics, 7, ("NumPartitions", -1), ("ReplicationFactor", -1), ("Assignments", 1),
            ("PartitionIndex", 0), ("BrokerIds", 9L), ("Configs", 0), ("ValidateOnly", validateOnly));
        Assert.Contains("ErrorCode: 39\n", text, StringComparison.Ordinal);
        Assert.Contains("no broker 9", text, StringComparison.Ordinal);
        Assert.Null(_harness.Broker.Metadata.Image.FindServed("fresh"));
    }

    [Fact]
    public void Bytes_and_tags_of_an_answer_are_bounded_as_its_other_fields_are()
    {
        using var response = new ResponseWriter(0, isFlexible: false);
        var half = new byte[(ResponseWriter.MaxFieldBytes / 2) + 1];
        response.WriteBytes(half);
        Assert.Throws<AnswerTooLargeException>(() => response.WriteBytes(half));
        Assert.Throws<AnswerTooLargeException>(() => response.WriteTag(0, half, static (tag, bytes) => tag.WriteBytes(bytes)));
    }

    [Fact]
    public async Task Topic_is_deleted_by_name_or_id_but_not_both_and_not_neither()
    {
        Assert.Contains("ErrorCode: 42\n", await AskAsync(DeleteTopics, 6, ("Name", "orders"), ("TopicId", _harness.Orders)),
            StringComparison.Ordinal);
        Assert.Contains("ErrorCode: 42\n", await AskAsync(DeleteTopics, 6, ("Name", null), ("TopicId", Guid.Empty)),
            StringComparison.Ordinal);
        Assert.Contains("ErrorCode: 100\n", await AskAsync(DeleteTopics, 6, ("TopicId", Guid.NewGuid())), StringComparison.Ordinal);
        Assert.Contains("Name: \"orders\"\n", await AskAsync(DeleteTopics, 6, ("TopicId", _harness.Orders)), StringComparison.Ordinal);
        Assert.Null(_harness.Broker.Metadata.Image.FindServed("orders"));
    }

    [Theory]
    [InlineData(3, false, 0, 3)]
    [InlineData(3, true, 0, 2)]
    [InlineData(2, false, 37, 2)]
    [InlineData(1, true, 37, 2)]
    public async Task Partitions_are_added_and_never_removed(int count, bool validateOnly, int error, int after)
    {
        Assert.Contains($"ErrorCode: {error}\n", await AskAsync(CreatePartitions, 3, ("Count", count), ("ValidateOnly", validateOnly)),
            StringComparison.Ordinal);
        Assert.Equal(after, _harness.Broker.Metadata.Image.FindServed("orders")!.Serving);
    }

    [Fact]
    public async Task Configurations_are_set_as_a_whole_or_by_key()
    {
        await AskAsync(AlterConfigs, 1, ("Name", "retention.ms"), ("Value", "5"));
        Assert.Equal("5", Configs["retention.ms"]);
        await AskAsync(AlterConfigs, 1, ("Name", "segment.bytes"), ("Value", "1048576"));
        Assert.Equal("segment.bytes", Assert.Single(Configs).Key);
        await AskAsync(IncrementalAlterConfigs, 1, ("Name", "retention.ms"), ("Value", "6"));
        Assert.Equal(2, Configs.Count);
        await AskAsync(IncrementalAlterConfigs, 1, ("Name", "segment.bytes"), ("ConfigOperation", 1), ("Value", null));
        Assert.Equal("retention.ms", Assert.Single(Configs).Key);
        await AskAsync(IncrementalAlterConfigs, 1, ("Name", "cleanup.policy"), ("ConfigOperation", 2), ("Value", "compact"));
        Assert.Equal("delete,compact", Configs["cleanup.policy"]);
        await AskAsync(IncrementalAlterConfigs, 1, ("Name", "cleanup.policy"), ("ConfigOperation", 3), ("Value", "delete"));
        Assert.Equal("compact", Configs["cleanup.policy"]);
        Assert.Contains("ErrorCode: 40\n", await AskAsync(IncrementalAlterConfigs, 1, ("Name", "retention.ms"), ("Value", "soon")),
            StringComparison.Ordinal);
        Assert.Contains("ErrorCode: 40\n", await AskAsync(IncrementalAlterConfigs, 1, ("Name", "retention.ms"), ("Value", "soon"),
            ("ValidateOnly", true)), StringComparison.Ordinal);
    }

    [Theory]
    [InlineData(4, "0", 0)]
    [InlineData(4, "9", 42)]
    [InlineData(2, "unknown", 3)]
    [InlineData(99, "x", 42)]
    public async Task Configurations_of_existing_resources_are_described(int type, string name, int error) =>
        Assert.Contains($"ErrorCode: {error}\n", await AskAsync(DescribeConfigs, 4, ("ResourceType", type), ("ResourceName", name)),
            StringComparison.Ordinal);

    [Fact]
    public async Task Broker_settings_include_the_rack() =>
        Assert.Contains("Name: \"broker.rack\"\n      Value: \"r1\"\n",
            await AskAsync(DescribeConfigs, 4, ("ResourceType", 4), ("ResourceName", "0"), ("ConfigurationKeys", "broker.rack")),
            StringComparison.Ordinal);

    [Fact]
    public async Task Broker_settings_include_how_long_an_authentication_is_good_for()
    {
        await using var server = await KafkaServer.StartAsync(static options =>
            options with { MaxReauthentication = TimeSpan.FromSeconds(10) });
        using var client = await server.ConnectAsync();
        await client.SendAsync(Frames.Of(DescribeConfigs, 4, 1, ("ResourceType", 4), ("ResourceName", "0"),
            ("ConfigurationKeys", "connections.max.reauth.ms")));
        Assert.Contains("Name: \"connections.max.reauth.ms\"\n      Value: \"10000\"\n",
            MessageText.OfResponse(Schema.Response(DescribeConfigs), 4, (await client.ReceiveAsync())!, 1), StringComparison.Ordinal);
    }

    [Fact]
    public async Task Broker_settings_cannot_be_altered_by_the_protocol() =>
        Assert.Contains("flags of its program", await AskAsync(IncrementalAlterConfigs, 1, ("ResourceType", 4), ("ResourceName", "0")),
            StringComparison.Ordinal);

    [Fact]
    public async Task Share_groups_are_configured()
    {
        await using var server = await KafkaServer.StartAsync();
        using var client = await server.ConnectAsync();
        Assert.Contains("ErrorCode: 0\n", await SetAsync("share.delivery.count.limit", "7"), StringComparison.Ordinal);
        Assert.Contains("ErrorCode: 40\n", await SetAsync("share.delivery.count.limit", "1"), StringComparison.Ordinal);
        Assert.Contains("ErrorCode: 40\n", await SetAsync("share.unknown", "1"), StringComparison.Ordinal);
        Assert.Contains("ErrorCode: 40\n", await SetAsync("share.isolation.level", "x", validateOnly: true), StringComparison.Ordinal);
        Assert.Contains("ErrorCode: 0\n", await SetAsync("share.delivery.count.limit", "9", validateOnly: true), StringComparison.Ordinal);
        var described = await SendAsync(DescribeConfigs, 4, ("ResourceType", 32), ("ResourceName", "workers"), ("ConfigurationKeys", -1));
        Assert.Matches("share.delivery.count.limit\"\\s+Value: \"7\"\\s+ReadOnly: false\\s+ConfigSource: 8\\s", described);
        Assert.Matches("share.session.timeout.ms\"\\s+Value: \"45000\"\\s+ReadOnly: false\\s+ConfigSource: 5\\s", described);
        Assert.Contains("ResourceName: \"workers\"\n", await SendAsync(74, 1, ("ResourceTypes", 32L)), StringComparison.Ordinal);
        await server.Broker.CreateTopicAsync(new NewTopic("orders"));
        await server.Broker.CreateTopicAsync(new NewTopic("letters"));
        await server.Broker.Groups.ShareGroupHeartbeatAsync(new ShareGroupHeartbeat
        {
            GroupId = "workers",
            MemberId = "m",
            SubscribedTopicNames = ["orders"],
        });
        Assert.Contains("would come back for ever", await SetAsync("share.dead.letter.topic", "orders"), StringComparison.Ordinal);
        Assert.Contains("ErrorCode: 0\n", await SetAsync("share.dead.letter.topic", "letters"), StringComparison.Ordinal);
        // Replaced as a whole, by nothing.
        await SendAsync(AlterConfigs, 1, ("ResourceType", 32), ("ResourceName", "workers"), ("Configs", 0));
        Assert.DoesNotContain("ConfigSource: 8\n", await SendAsync(DescribeConfigs, 4, ("ResourceType", 32), ("ResourceName", "workers"),
            ("ConfigurationKeys", -1)), StringComparison.Ordinal);

        Task<string> SetAsync(string name, string value, bool validateOnly = false) => SendAsync(IncrementalAlterConfigs, 1,
            ("ResourceType", 32), ("ResourceName", "workers"), ("Name", name), ("Value", value), ("ValidateOnly", validateOnly));

        async Task<string> SendAsync(short key, short version, params (string Field, object? Value)[] values)
        {
            await client.SendAsync(Frames.Of(key, version, 1, values));
            return MessageText.OfResponse(Schema.Response(key), version, (await client.ReceiveAsync())!, 1);
        }
    }

    [Fact]
    public async Task Many_partitions_are_described_in_pages()
    {
        await _harness.Broker.CreateTopicAsync(new NewTopic("wide", 5));
        var first = await AskAsync(DescribeTopicPartitions, 0, ("Topics", 0), ("ResponsePartitionLimit", 4));
        Assert.Contains("NextCursor\n    TopicName: \"wide\"\n    PartitionIndex: 2\n", first, StringComparison.Ordinal);
        Assert.Contains("Name: \"orders\"\n", first, StringComparison.Ordinal);
        var all = await AskAsync(DescribeTopicPartitions, 0, ("Topics", 0));
        Assert.Contains("NextCursor: null\n", all, StringComparison.Ordinal);
        Assert.Contains("PartitionIndex: 4\n", all, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData(Metadata, 9, "Topics", "Name: \"orders\"\n")]
    [InlineData(DescribeConfigs, 4, "Resources", "ResourceName: \"orders\"\n")]
    [InlineData(DescribeTopicPartitions, 0, "Topics", "Name: \"orders\"\n")]
    [InlineData(DescribeGroups, 5, "Groups", "GroupId: \"readers\"\n")]
    [InlineData(ConsumerGroupDescribe, 1, "GroupIds", "GroupId: \"modern\"\n")]
    public async Task What_is_named_many_times_is_described_once(short key, short version, string list, string once)
    {
        var text = await AskAsync(key, version, (list, 1000));
        Assert.Equal(2, text.Split(once).Length);
    }

    [Theory]
    [InlineData(DescribeGroups, 5)]
    [InlineData(ConsumerGroupDescribe, 1)]
    [InlineData(ShareGroupDescribe, 1)]
    public async Task Described_group_tells_every_operation_that_the_client_may_perform_on_it(short key, short version)
    {
        var bits = new[] { AccessOperation.Read, AccessOperation.Delete, AccessOperation.Describe, AccessOperation.DescribeConfigs,
            AccessOperation.AlterConfigs }.Sum(static operation => 1 << (int)operation);
        Assert.Contains($"AuthorizedOperations: {bits}\n", await AskAsync(key, version, ("IncludeAuthorizedOperations", true)),
            StringComparison.Ordinal);
    }

    [Fact]
    public async Task Group_named_twice_in_an_offset_fetch_is_refused()
    {
        var text = await AskAsync(OffsetFetch, 9, ("Groups", 3));
        Assert.Equal(2, text.Split("CommittedOffset: 2\n").Length);
        Assert.Equal(3, text.Split("ErrorCode: 42\n").Length);
    }

    [Fact]
    public void Answer_is_bounded()
    {
        using var response = new ResponseWriter(0, isFlexible: false);
        var text = new string('x', 30_000);
        Assert.Throws<AnswerTooLargeException>(() =>
        {
            for (var written = 0L; written < 1L << 30; written += text.Length)
                response.WriteString(text);
        });
        Assert.InRange(response.Length, 1, (100 << 20) + text.Length);
    }

    private IReadOnlyDictionary<string, string> Configs => _harness.Broker.Metadata.Image.FindServed("orders")!.Configs;

    private async Task<string> AskAsync(short key, short version, params (string Field, object? Value)[] values) =>
        MessageText.OfResponse(Schema.Response(key), version, (await _harness.AnswerAsync(Frames.Of(key, version, 1, values)))!, 1);
}
