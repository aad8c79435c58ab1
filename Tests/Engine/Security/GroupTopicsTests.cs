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
        _broker = await LocalBroker.OpenAsync(Options(AuthorizationMode.Enforce));
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
    [InlineData("mine", ErrorCode.None)]
    [InlineData("secret", ErrorCode.TopicAuthorizationFailed)]
    [InlineData("no-such-topic", ErrorCode.TopicAuthorizationFailed)]
    public async Task Member_subscribes_to_topics_that_it_may_describe(string topic, ErrorCode error)
    {
        Assert.Equal(error, (await _alice.Groups.SendAsync(Heartbeat(topic, null))).Error);
        await AllowAsync(ResourceType.Group, "s", AccessOperation.Read);
        Assert.Equal(error, (await _alice.Groups.SendAsync(new ShareGroupHeartbeat
        {
            GroupId = "s",
            MemberId = Guid.NewGuid().ToString(),
            SubscribedTopicNames = [topic],
        })).Error);
    }

    [Fact]
    public async Task Regular_expression_gets_topics_of_a_prefixed_rule_without_those_that_are_denied()
    {
        foreach (var topic in (string[])["orders-1", "orders-2", "orders-secret"])
            await _admin.CreateTopicAsync(new NewTopic(topic));
        await _broker.Security.CreateAclsAsync([
            new AclRule(ResourceType.Topic, AclPattern.Prefixed, "orders-", "User:alice", "*", AccessOperation.Read, AclPermission.Allow),
            new AclRule(ResourceType.Topic, AclPattern.Literal, "orders-secret", "User:alice", "*", AccessOperation.Describe,
                AclPermission.Deny)]);
        Assert.Equal("mine orders-1 orders-2", await AssignedAsync(Heartbeat(null, ".*")));
        Assert.Equal("", await AssignedAsync(Heartbeat(null, "secret"), "other"));
    }

    [Fact]
    public async Task Topic_of_a_rule_that_is_deleted_is_taken_from_the_member_with_its_next_heartbeat()
    {
        await AllowAsync(ResourceType.Topic, "secret", AccessOperation.Describe);
        var join = Heartbeat(null, ".*");
        var joined = await _alice.Groups.SendAsync(join);
        Assert.Equal("mine secret", await NamesAsync(joined));
        await _broker.Security.DeleteAclsAsync([new AclFilter(ResourceType.Topic, AclPattern.Literal, "secret")]);
        Assert.Equal("mine", await NamesAsync(await _alice.Groups.SendAsync(new ConsumerGroupHeartbeat
        {
            GroupId = Group,
            MemberId = join.MemberId,
            MemberEpoch = joined.MemberEpoch,
            OwnedPartitions = joined.Assignment,
        })));
    }

    [Fact]
    public async Task Caller_that_a_client_names_is_replaced_by_its_session()
    {
        Assert.Equal("mine", await AssignedAsync(Heartbeat(null, ".*") with { Subscriber = Subscriber.Broker }));
        Assert.Equal("mine", await AssignedAsync(Heartbeat(null, ".*") with
        {
            Subscriber = new Subscriber("User:admin", "", "", "10.0.0.7", (int)SessionProtocol.Kafka),
        }, "other"));
    }

    [Fact]
    public async Task Super_user_and_the_broker_itself_get_every_topic_that_matches()
    {
        Assert.Equal("mine secret", await NamesAsync(await _admin.Groups.SendAsync(Heartbeat(null, ".*"))));
        Assert.Equal("mine secret", await NamesAsync(await _broker.Groups.SendAsync(Heartbeat(null, ".*") with { GroupId = "other" })));
    }

    [Fact]
    public async Task Rules_that_only_warn_hide_nothing_and_are_not_asked_for_each_topic()
    {
        await using var broker = await LocalBroker.OpenAsync(Options(AuthorizationMode.Warn));
        var alice = SessionOf("alice", broker);
        await alice.CreateTopicAsync(new NewTopic("mine"));
        await alice.CreateTopicAsync(new NewTopic("secret"));
        var answer = await alice.Groups.SendAsync(Heartbeat(null, ".*"));
        Assert.Equal(2, answer.Assignment!.Count);
        var denials = broker.Access.Meter.Denials;
        Assert.Equal(1, denials.WarnedOf(AccessOperation.Read, ResourceType.Group));
        Assert.Equal(0, denials.WarnedOf(AccessOperation.Describe, ResourceType.Topic));
    }

    [Fact]
    public void Rules_that_are_not_read_show_super_users_every_topic_and_leave_the_others_open()
    {
        var options = new SecurityOptions { Authorization = AuthorizationMode.Enforce, SuperUsers = ["User:admin"] };
        var authorizer = new AclAuthorizer(options);
        var sights = new TopicSights(authorizer, () => authorizer.IsRead);
        var before = sights.Current;
        Assert.Same(before, sights.Current);
        Assert.Null(before.Sees(Of("alice"), "mine"));
        Assert.True(before.Sees(Of("admin"), "mine"));
        authorizer.Image = AclImage.Empty;
        Assert.NotSame(before, sights.Current);
        Assert.False(sights.Current.Sees(Of("alice"), "mine"));

        static Subscriber Of(string user) => new($"User:{user}", "", "", "", (int)SessionProtocol.Kafka);
    }

    private async Task<string> AssignedAsync(ConsumerGroupHeartbeat heartbeat, string group = Group)
    {
        if (group != Group)
            await AllowAsync(ResourceType.Group, group, AccessOperation.Read);
        return await NamesAsync(await _alice.Groups.SendAsync(heartbeat with { GroupId = group }));
    }

    private async Task<string> NamesAsync(ConsumerGroupHeartbeatResult answer)
    {
        Assert.Equal(ErrorCode.None, answer.Error);
        var names = (await _admin.ListTopicsAsync()).ToDictionary(static topic => topic.TopicId, static topic => topic.Name);
        return string.Join(' ', answer.Assignment!.Select(topic => names[topic.TopicId]).Order(StringComparer.Ordinal));
    }

    [Theory]
    [InlineData(SessionProtocol.Http)]
    [InlineData(SessionProtocol.Orleans)]
    public async Task Description_of_a_group_leaves_out_topics_that_the_session_may_not_describe(SessionProtocol protocol)
    {
        Assert.Equal(ErrorCode.None,
            (await _admin.Groups.SendAsync(Heartbeat(null, null) with { SubscribedTopicNames = ["mine", "secret"] })).Error);
        var alice = SessionOf("alice", protocol: protocol);
        var member = Assert.Single((await alice.Groups.DescribeGroupAsync(Group)).Members);
        Assert.Equal(["mine"], member.SubscribedTopicNames);
        Assert.Equal(["mine"], member.TargetAssignment.Select(static one => one.Topic));
        Assert.DoesNotContain(member.Assignment, static one => one.Topic != "mine");
        member = Assert.Single((await _admin.Groups.DescribeGroupAsync(Group)).Members);
        Assert.Equal(["mine", "secret"], member.SubscribedTopicNames.Order(StringComparer.Ordinal));
    }

    [Fact]
    public async Task Alteration_of_a_share_group_needs_the_right_to_each_thing_that_it_changes()
    {
        var alice = SessionOf("alice", protocol: SessionProtocol.Orleans);
        var change = new AlterShareGroup(Group)
        {
            Configs = [new ShareGroupSetting("share.delivery.count.limit", "2")],
            Moves = [new ShareCursorMove(Guid.NewGuid(), 0, 0)],
        };
        Assert.Equal(ErrorCode.GroupAuthorizationFailed, (await alice.Groups.SendAsync(change)).Error);
        await AllowAsync(ResourceType.Group, Group, AccessOperation.AlterConfigs);
        // Only an id names the topic.
        Assert.Equal(ErrorCode.TopicAuthorizationFailed, (await alice.Groups.SendAsync(change)).Error);
        await AllowAsync(ResourceType.Topic, ResourceTypes.Every, AccessOperation.Read);
        Assert.DoesNotContain((await alice.Groups.SendAsync(change)).Error,
            (ErrorCode[])[ErrorCode.GroupAuthorizationFailed, ErrorCode.TopicAuthorizationFailed]);
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

    private static BrokerOptions Options(AuthorizationMode mode) => new()
    {
        DataDirectory = "/data",
        FileSystem = new MemoryFileSystem(tracksPowerCuts: false),
        MinFreeBytes = 0,
        Security = new SecurityOptions { Authorization = mode, SuperUsers = ["User:admin"] },
    };

    private IBroker SessionOf(string user, LocalBroker? broker = null, SessionProtocol protocol = SessionProtocol.Kafka) =>
        (broker ?? _broker).Access.Open(new BrokerSession($"User:{user}", "", "", "10.0.0.7", protocol)).Broker;

    private async Task AllowAsync(ResourceType type, string name, params AccessOperation[] operations) =>
        await _broker.Security.CreateAclsAsync([.. operations.Select(operation => new AclRule(type, AclPattern.Literal, name, "User:alice",
            "*", operation, AclPermission.Allow))]);
}
