using System.Net;
using System.Text.Json;
using OrleansMq.Api;
using OrleansMq.Client;

namespace OrleansMq.Tests.Silo.Http;

/// <summary>Groups over HTTP: requests arrive, and answers return, unchanged.</summary>
public sealed class GroupApiTests : IClassFixture<RunningBroker>, IDisposable
{
    private static readonly Guid Topic = Guid.NewGuid();
    private readonly RunningBroker _broker;
    private readonly HttpBroker _client;
    private readonly RecordedGroups _groups = new();

    public GroupApiTests(RunningBroker broker)
    {
        _broker = broker;
        _broker.Script.OnGroups = _groups;
        _client = new HttpBroker(broker.Http.BaseAddress!);
    }

    public void Dispose()
    {
        _client.Dispose();
        _broker.Script.OnGroups = null;
    }

    [Fact]
    public async Task Every_request_arrives_and_every_answer_returns()
    {
        var join = new JoinGroup
        {
            GroupId = "b",
            MemberId = "m",
            GroupInstanceId = "i",
            ClientId = "c",
            ClientHost = "/h",
            SessionTimeout = TimeSpan.FromMilliseconds(6001),
            RebalanceTimeout = TimeSpan.FromMinutes(1),
            ProtocolType = "connect",
            Protocols = [new GroupProtocol("range", new byte[] { 0, 255 })],
            RequireKnownMemberId = false,
            SupportsSkippingAssignment = false,
            Reason = "why",
        };
        var sync = new SyncGroup
        {
            GroupId = "b",
            GenerationId = 3,
            MemberId = "m",
            GroupInstanceId = "i",
            ProtocolType = "consumer",
            ProtocolName = "range",
            Assignments = [new MemberAssignment("m", new byte[] { 9 })],
        };
        var heartbeat = new Heartbeat("b", 3, "m", "i");
        var leave = new LeaveGroup("b", [new LeavingMember("m", "i", "why")]);
        var consumer = new ConsumerGroupHeartbeat
        {
            GroupId = "b",
            MemberId = "m",
            MemberEpoch = ConsumerGroupHeartbeat.LeaveForNowEpoch,
            InstanceId = "i",
            RackId = "r",
            RebalanceTimeout = TimeSpan.FromSeconds(61),
            SubscribedTopicNames = ["orders"],
            SubscribedTopicRegex = "o.*",
            ServerAssignor = "range",
            OwnedPartitions = [new TopicPartitions(Topic, [1])],
            ClientId = "c",
            ClientHost = "/h",
            MaxWait = TimeSpan.FromSeconds(1),
        };
        var commit = new OffsetCommit
        {
            GroupId = "b",
            GenerationIdOrMemberEpoch = 3,
            MemberId = "m",
            GroupInstanceId = "i",
            Offsets = [new PartitionOffset("orders", 1, new CommittedOffset(long.MaxValue, 4, "wörds"), Topic),
                new PartitionOffset(null, 2, new CommittedOffset(0), Topic)],
        };
        var fetch = new OffsetFetch { GroupId = "b", Partitions = [new("orders", 1)], MemberId = "m", MemberEpoch = 3, RequireStable = true,
            AllowStale = true };
        var delete = new OffsetDelete("b", [new("orders", 1)]);
        var over = _client.Groups;

        Same(RecordedGroups.Joined, await over.JoinGroupAsync(join));
        Same(RecordedGroups.Synced, await over.SyncGroupAsync(sync));
        Same(RecordedGroups.Beaten, await over.HeartbeatAsync(heartbeat));
        Same(RecordedGroups.Left, await over.LeaveGroupAsync(leave));
        Same(RecordedGroups.Heard, await over.ConsumerGroupHeartbeatAsync(consumer));
        Same(RecordedGroups.Committed, await over.CommitOffsetsAsync(commit));
        Same(RecordedGroups.Fetched, await over.FetchOffsetsAsync(fetch));
        Same(RecordedGroups.Deleted, await over.DeleteOffsetsAsync(delete));
        Same(RecordedGroups.Listed, await over.ListGroupsAsync());
        Same(RecordedGroups.Described, await over.DescribeGroupAsync("b"));
        Assert.Equal(2, await over.FindCoordinatorAsync("b"));
        await over.DeleteGroupAsync("b");

        Same<object[]>([join, sync, heartbeat, leave, consumer, commit, fetch, delete, "list", "describe b", "find b", "delete b"],
            [.. _groups.Asked]);
    }

    /// <summary>Its objects would be in memory while it waits.</summary>
    [Fact]
    public async Task Heartbeat_with_a_large_body_does_not_wait()
    {
        const string Heartbeat = """{"groupId":"b","maxWaitMs":60000}""";
        await PostAsync("consumer-heartbeat", Heartbeat);
        await PostAsync("consumer-heartbeat", Heartbeat.PadRight(64 << 10));
        Assert.Equal([TimeSpan.FromMinutes(1), TimeSpan.Zero],
            _groups.Asked.Cast<ConsumerGroupHeartbeat>().Select(static asked => asked.MaxWait));
    }

    [Fact]
    public async Task Omitted_fields_have_the_contracts_defaults()
    {
        await PostAsync("join", """{"groupId":"b"}""");
        await PostAsync("consumer-heartbeat", """{"groupId":"b"}""");
        await PostAsync("commit-offsets", """{"groupId":"b","offsets":[{"topic":"orders","partition":0,"offset":{"offset":42}}]}""");
        await PostAsync("fetch-offsets", """{"groupId":"b"}""");
        var host = "/" + IPAddress.Loopback;
        Same<object[]>(
        [
            new JoinGroup { GroupId = "b", ClientHost = host }, new ConsumerGroupHeartbeat { GroupId = "b", ClientHost = host },
            new OffsetCommit { GroupId = "b", Offsets = [new PartitionOffset("orders", 0, new CommittedOffset(42))] },
            new OffsetFetch { GroupId = "b" },
        ], [.. _groups.Asked]);
    }

    [Theory]
    [InlineData("billing")]
    [InlineData("a/b")]
    [InlineData("100%2F off?")]
    [InlineData("日本 + \\ # ;")]
    [InlineData("join")]
    [InlineData("...")]
    public async Task Group_may_have_any_name(string group)
    {
        await _client.Groups.DescribeGroupAsync(group);
        await _client.Groups.DeleteGroupAsync(group);
        await _client.Groups.FindCoordinatorAsync(group);
        Assert.Equal(["describe " + group, "delete " + group, "find " + group], _groups.Asked);
    }

    [Theory]
    [InlineData("")]
    [InlineData(".")]
    [InlineData("..")]
    public async Task Name_that_no_path_can_hold_is_refused(string group)
    {
        var refused = await Assert.ThrowsAsync<BrokerException>(async () => await _client.Groups.DescribeGroupAsync(group));
        Assert.Equal(ErrorCode.InvalidGroupId, refused.Code);
    }

    [Fact]
    public async Task Administration_errors_are_problems_and_map_back_to_errors()
    {
        foreach (var (code, status) in new[] { (ErrorCode.GroupIdNotFound, 404), (ErrorCode.NonEmptyGroup, 409),
            (ErrorCode.InvalidGroupId, 400), (ErrorCode.CoordinatorNotAvailable, 503) })
        {
            _groups.Before = _ => throw new BrokerException(code, "Group 'b': a reason.");
            using var response = await _broker.Http.DeleteAsync("/api/groups/b");
            await RunningBroker.AssertProblemAsync(response, status, code, "a reason");
            var thrown = await Assert.ThrowsAsync<BrokerException>(async () => await _client.Groups.DeleteGroupAsync("b"));
            Assert.Equal((code, "Group 'b': a reason."), (thrown.Code, thrown.Message));
        }
    }

    [Theory]
    [InlineData("join", "", "groupId")]
    [InlineData("join", "{}", "groupId")]
    [InlineData("join", """{"groupId":null}""", "$.groupId")]
    [InlineData("join", """{"groupId":"b","sessionTimeout":1}""", "sessionTimeout")]
    [InlineData("join", """{"groupId":"b","protocols":[null]}""", "'protocols'")]
    [InlineData("join", """{"groupId":"b","protocols":[{"name":"range","metadata":"!"}]}""", "$.protocols[0].metadata")]
    [InlineData("sync", """{"groupId":"b","generationId":1,"memberId":"m","assignments":[null]}""", "'assignments'")]
    [InlineData("heartbeat", """{"groupId":"b","generationId":"1","memberId":"m"}""", "$.generationId")]
    [InlineData("leave", """{"groupId":"b","members":[null]}""", "'members'")]
    [InlineData("consumer-heartbeat", """{"groupId":"b","maxWaitMs":-1}""", "'maxWaitMs' is -1")]
    [InlineData("consumer-heartbeat", """{"groupId":"b","ownedPartitions":[null]}""", "'ownedPartitions'")]
    [InlineData("commit-offsets", """{"groupId":"b","offsets":[null]}""", "'offsets'")]
    [InlineData("commit-offsets", """{"groupId":"b","offsets":[{"topic":"t","partition":0}]}""", "$.offsets[0]")]
    [InlineData("fetch-offsets", """{"groupId":"b","partitions":[{}]}""", "'partitions'")]
    [InlineData("delete-offsets", """{"groupId":"b"}""", "body")]
    public async Task Invalid_request_is_refused_by_name_and_not_forwarded(string path, string body, string named)
    {
        using var response = await _broker.Http.PostAsync("/api/groups/" + path, RunningBroker.Json(body));
        await RunningBroker.AssertProblemAsync(response, 400, ErrorCode.InvalidRequest, named);
        Assert.Empty(_groups.Asked);
    }

    [Fact]
    public async Task Commit_of_ten_thousand_partitions_fits()
    {
        var offsets = Enumerable.Range(0, 10_000).Select(i => new PartitionOffset(new string('t', 100), i, new CommittedOffset(i), Topic))
            .ToArray();
        Same(RecordedGroups.Committed, await _client.Groups.CommitOffsetsAsync(new OffsetCommit { GroupId = "b", Offsets = offsets }));
        Assert.Equal(10_000, Assert.IsType<OffsetCommit>(Assert.Single(_groups.Asked)).Offsets.Count);
    }

    [Fact]
    public async Task Unreachable_broker_is_skipped()
    {
        using var client = new HttpBroker([Nobody(), _broker.Http.BaseAddress!]);
        Same(RecordedGroups.Beaten, await client.Groups.HeartbeatAsync(new Heartbeat("b", 1, "m")));
        Same(RecordedGroups.Described, await client.Groups.DescribeGroupAsync("b"));
        Assert.Equal(2, _groups.Asked.Count);
        Assert.True(client.HasConnected);
    }

    [Fact]
    public async Task Member_is_told_to_retry_when_no_broker_answers()
    {
        using var client = new HttpBroker(Nobody());
        var offset = new PartitionOffset("orders", 1, new CommittedOffset(1), Topic);
        var committed = await client.Groups.CommitOffsetsAsync(new OffsetCommit { GroupId = "b", Offsets = [offset] });
        Assert.Equal(new PartitionError("orders", 1, ErrorCode.CoordinatorNotAvailable, Topic), Assert.Single(committed.Partitions));
        Assert.Equal(ErrorCode.CoordinatorNotAvailable, (await client.Groups.HeartbeatAsync(new Heartbeat("b", 1, "m"))).Error);
        Assert.Equal(ErrorCode.CoordinatorNotAvailable, (await client.Groups.JoinGroupAsync(new JoinGroup { GroupId = "b" })).Error);
        Assert.Equal(ErrorCode.CoordinatorNotAvailable,
            (await client.Groups.ConsumerGroupHeartbeatAsync(new ConsumerGroupHeartbeat { GroupId = "b" })).Error);
        await Assert.ThrowsAsync<BrokerUnreachableException>(async () => await client.Groups.ListGroupsAsync());
        Assert.False(client.HasConnected);
    }

    /// <summary>An address that refuses connections: port 1 is privileged and unused.</summary>
    private static Uri Nobody() => new("http://127.0.0.1:1");

    private async Task PostAsync(string path, string body)
    {
        using var response = await _broker.Http.PostAsync("/api/groups/" + path, RunningBroker.Json(body));
        Assert.True(response.StatusCode == HttpStatusCode.OK, await response.Content.ReadAsStringAsync());
    }

    private static void Same<T>(T expected, T actual) => Assert.Equal(JsonSerializer.Serialize(expected), JsonSerializer.Serialize(actual));
}
