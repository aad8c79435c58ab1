using OrleansMq.Access;
using OrleansMq.Api;
using OrleansMq.Brokers;
using OrleansMq.Security;
using OrleansMq.Storage;

namespace OrleansMq.Tests.Engine.Security;

/// <summary>What a session may do with the offsets and subscriptions of a group: what rules on the topics allow.</summary>
public sealed class GroupTopicsTests : IAsyncLifetime
{
    private const string Group = "g";

    private LocalBroker _broker = null!;
    private IBroker _admin = null!;
    private IBroker _alice = null!;

    public async Task InitializeAsync()
    {
        _broker = await LocalBroker.OpenAsync(new BrokerOptions
        {
            DataDirectory = "/data",
            FileSystem = new MemoryFileSystem(tracksPowerCuts: false),
            MinFreeBytes = 0,
            Security = new SecurityOptions { Authorization = AuthorizationMode.Enforce, SuperUsers = ["User:admin"] },
        });
        (_admin, _alice) = (SessionOf("admin"), SessionOf("alice"));
        await _admin.CreateTopicAsync(new NewTopic("mine"));
        await _admin.CreateTopicAsync(new NewTopic("secret"));
        await AllowAsync(ResourceType.Group, Group, AccessOperation.Read, AccessOperation.Delete);
        await AllowAsync(ResourceType.Topic, "mine", AccessOperation.Read);
    }

    public async Task DisposeAsync() => await _broker.DisposeAsync();

    [Fact]
    public async Task Offsets_are_committed_for_topics_that_may_be_read()
    {
        var result = await _alice.Groups.CommitOffsetsAsync(Commit("secret", "mine", "secret"));
        Assert.Equal([ErrorCode.TopicAuthorizationFailed, ErrorCode.None, ErrorCode.TopicAuthorizationFailed],
            result.Partitions.Select(static one => one.Error));
        Assert.Equal(["secret", "mine", "secret"], result.Partitions.Select(static one => one.Topic));
        var stored = await _admin.Groups.FetchOffsetsAsync(new OffsetFetch { GroupId = Group });
        Assert.Equal(["mine"], stored.Partitions.Select(static one => one.Partition.Topic));
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task Answers_stay_with_their_partitions_where_a_rule_changes_meanwhile(bool isGranted)
    {
        if (!isGranted)
            await AllowAsync(ResourceType.Topic, "secret", AccessOperation.Read);
        var access = _broker.Access.Open(BrokerSession.InProcess with { Protocol = SessionProtocol.Kafka, Principal = "User:alice" });
        var topics = new GroupTopics(access);
        var commit = Commit("none", "secret", "mine", "none");
        var sent = (OffsetCommit)topics.Narrow(commit);
        Assert.Equal(isGranted ? ["mine"] : ["secret", "mine"], sent.Offsets.Select(static one => one.Topic));
        if (isGranted)
            await AllowAsync(ResourceType.Topic, "secret", AccessOperation.Read);
        else
            await _broker.Security.DeleteAclsAsync([new AclFilter()]);
        var answer = new OffsetCommitResult([.. sent.Offsets.Select(static one =>
            new PartitionError(one.Topic, one.Partition, ErrorCode.None, one.TopicId))]);
        var whole = (OffsetCommitResult)topics.Complete(commit, sent, answer);
        Assert.Equal([("none", ErrorCode.TopicAuthorizationFailed),
            ("secret", isGranted ? ErrorCode.TopicAuthorizationFailed : ErrorCode.None), ("mine", ErrorCode.None),
            ("none", ErrorCode.TopicAuthorizationFailed)], whole.Partitions.Select(static one => (one.Topic, one.Error)));
    }

    [Fact]
    public async Task Topic_that_only_an_id_names_needs_every_topic()
    {
        var id = (await _admin.GetTopicAsync("mine")).TopicId;
        var commit = new OffsetCommit { GroupId = Group, Offsets = [new PartitionOffset(null, 0, new CommittedOffset(0), id)] };
        Assert.Equal(ErrorCode.TopicAuthorizationFailed, (await _alice.Groups.CommitOffsetsAsync(commit)).Partitions[0].Error);
        Assert.Equal(ErrorCode.None, (await _admin.Groups.CommitOffsetsAsync(commit)).Partitions[0].Error);
    }

    [Fact]
    public async Task Offsets_of_hidden_topics_are_left_out_or_refused()
    {
        await _admin.Groups.CommitOffsetsAsync(Commit("secret", "mine"));
        var all = await _alice.Groups.FetchOffsetsAsync(new OffsetFetch { GroupId = Group });
        Assert.Equal(["mine"], all.Partitions.Select(static one => one.Partition.Topic));
        var named = await _alice.Groups.FetchOffsetsAsync(new OffsetFetch { GroupId = Group,
            Partitions = [new TopicPartition("secret", 0), new TopicPartition("mine", 0)] });
        Assert.Equal(ErrorCode.None, named.Error);
        Assert.Equal([("mine", ErrorCode.None, true), ("secret", ErrorCode.TopicAuthorizationFailed, false)],
            named.Partitions.Select(static one => (one.Partition.Topic, one.Error, one.Offset is not null)));
    }

    [Fact]
    public async Task Offsets_are_deleted_for_topics_that_may_be_read()
    {
        await _admin.Groups.CommitOffsetsAsync(Commit("secret", "mine"));
        var deleted = await _alice.Groups.SendAsync(new OffsetDelete(Group, [new TopicPartition("secret", 0),
            new TopicPartition("mine", 0)]));
        Assert.Equal([("secret", ErrorCode.TopicAuthorizationFailed), ("mine", ErrorCode.None)],
            deleted.Partitions.Select(static one => (one.Topic!, one.Error)));
        var left = await _admin.Groups.FetchOffsetsAsync(new OffsetFetch { GroupId = Group });
        Assert.Equal(["secret"], left.Partitions.Select(static one => one.Partition.Topic));
    }

    [Theory]
    [InlineData("mine", null, ErrorCode.None)]
    [InlineData("secret", null, ErrorCode.TopicAuthorizationFailed)]
    [InlineData("no-such-topic", null, ErrorCode.TopicAuthorizationFailed)]
    [InlineData(null, ".*", ErrorCode.TopicAuthorizationFailed)]
    public async Task Member_subscribes_to_topics_that_it_may_describe(string? topic, string? regex, ErrorCode error) =>
        Assert.Equal(error, (await _alice.Groups.SendAsync(Heartbeat(topic, regex))).Error);

    [Fact]
    public async Task Member_that_may_describe_every_topic_subscribes_by_a_regular_expression()
    {
        await AllowAsync(ResourceType.Topic, "*", AccessOperation.Describe);
        Assert.Equal(ErrorCode.None, (await _alice.Groups.SendAsync(Heartbeat(null, ".*"))).Error);
    }

    private static ConsumerGroupHeartbeat Heartbeat(string? topic, string? regex) => new()
    {
        GroupId = Group,
        MemberId = Guid.NewGuid().ToString(),
        MemberEpoch = ConsumerGroupHeartbeat.JoinEpoch,
        RebalanceTimeout = TimeSpan.FromMinutes(1),
        SubscribedTopicNames = topic is null ? [] : [topic],
        SubscribedTopicRegex = regex,
        OwnedPartitions = [],
    };

    private static OffsetCommit Commit(params string[] topics) => new()
    {
        GroupId = Group,
        Offsets = [.. topics.Select(static topic => new PartitionOffset(topic, 0, new CommittedOffset(0)))],
    };

    private IBroker SessionOf(string user) =>
        _broker.Access.Open(new BrokerSession($"User:{user}", "", "", "10.0.0.7", SessionProtocol.Kafka)).Broker;

    private async Task AllowAsync(ResourceType type, string name, params AccessOperation[] operations) =>
        await _broker.Security.CreateAclsAsync([.. operations.Select(operation => new AclRule(type, AclPattern.Literal, name, "User:alice",
            "*", operation, AclPermission.Allow))]);
}
