using System.Text.Json;
using OrleansMq.Api;
using OrleansMq.Client;

namespace OrleansMq.Tests.Silo.Http;

/// <summary>The operations on groups over HTTP, with a real coordinator: offsets, lag, resets and metrics.</summary>
public sealed class GroupOperationsTests : IClassFixture<RunningBroker>, IDisposable
{
    private static int _groups;
    private readonly RunningBroker _broker;
    private readonly HttpBroker _client;
    private readonly string _group = $"group \"{Interlocked.Increment(ref _groups)}\"";

    public GroupOperationsTests(RunningBroker broker)
    {
        _broker = broker;
        _client = new HttpBroker(broker.Http.BaseAddress!);
    }

    public void Dispose() => _client.Dispose();

    [Fact]
    public async Task Offsets_and_lag_are_reported_by_partition()
    {
        var topic = await PrepareAsync(committed: 1);
        var offsets = await GetAsync("offsets");
        Assert.Equal(1, offsets[0].GetProperty("offset").GetProperty("offset").GetInt64());
        var lag = Assert.Single(await _client.GetGroupLagAsync(_group));
        Assert.Equal((new TopicPartition(topic, 0), 1L, 3L, 2L),
            (lag.Partition, lag.Committed!.Value, lag.HighWatermark!.Value, lag.Records!.Value));
        Assert.InRange(lag.Seconds!.Value, 1000, 1e10);
    }

    [Fact]
    public async Task Share_group_is_shown_with_its_members_and_where_it_is()
    {
        var topic = await PrepareAsync(committed: 1);
        var refused = await Assert.ThrowsAsync<BrokerException>(async () => await _client.GetSharePartitionsAsync(_group));
        Assert.Equal(ErrorCode.GroupIdNotFound, refused.Code);
        Assert.Contains("is not a share group", refused.Message, StringComparison.Ordinal);

        var (group, topicId) = ($"share of {topic}", (await _broker.Script.GetTopicAsync(topic)).TopicId);
        var joined = await _broker.Script.Groups.SendAsync(new ShareGroupHeartbeat
        {
            GroupId = group,
            MemberId = "m",
            SubscribedTopicNames = [topic],
            Starts = [new ShareCursorMove(topicId, 0, 1)],
        });
        Assert.Equal(ErrorCode.None, joined.Error);
        Assert.Contains(await _client.Groups.ListGroupsAsync(), listing => listing.GroupId == group && listing.Type == GroupType.Share);
        Assert.Equal([new TopicPartition(topic, 0)], Assert.Single((await _client.Groups.DescribeGroupAsync(group)).Members).Assignment);
        var partition = Assert.Single(await _client.GetSharePartitionsAsync(group));
        Assert.Equal((new TopicPartition(topic, 0), 1L, 0L, 2L, "m", ErrorCode.None), (partition.Partition, partition.StartOffset!.Value,
            partition.InFlight!.Value, partition.Lag!.Value, Assert.Single(partition.MemberIds), partition.Error));
    }

    [Theory]
    [InlineData("GET", "")]
    [InlineData("DELETE", "")]
    [InlineData("GET", "/offsets")]
    [InlineData("GET", "/lag")]
    [InlineData("GET", "/share")]
    public async Task Unknown_group_is_not_found(string method, string path)
    {
        using var request = new HttpRequestMessage(new HttpMethod(method), "/api/groups/nobody" + path);
        using var response = await _broker.Http.SendAsync(request);
        await RunningBroker.AssertProblemAsync(response, 404, ErrorCode.GroupIdNotFound, "nobody");
    }

    [Fact]
    public async Task Reset_is_planned_and_then_executed()
    {
        var topic = await PrepareAsync(committed: 3);
        var planned = await _client.ResetGroupOffsetsAsync(new OffsetReset(_group, OffsetTarget.ShiftBy(-2), Topics: [topic]),
            execute: false);
        Assert.Equal((false, 3L, 1L), (planned.Executed, planned.Partitions[0].Committed!.Value, planned.Partitions[0].Target!.Value));
        Assert.Equal(3, (await GetAsync("offsets"))[0].GetProperty("offset").GetProperty("offset").GetInt64());

        var offsets = new Dictionary<TopicPartition, long> { [new(topic, 0)] = 99 };
        var done = await _client.ResetGroupOffsetsAsync(new OffsetReset(_group, Offsets: offsets), execute: true);
        Assert.True(done.Executed);
        Assert.Contains("beyond the end", done.Partitions[0].Note, StringComparison.Ordinal);
        Assert.Equal(3, (await GetAsync("offsets"))[0].GetProperty("offset").GetProperty("offset").GetInt64());
    }

    [Fact]
    public async Task Group_with_members_is_neither_reset_nor_deleted()
    {
        var topic = await PrepareAsync(committed: 3);
        var joined = await _client.Groups.JoinGroupAsync(new JoinGroup { GroupId = _group, RequireKnownMemberId = false,
            Protocols = [new GroupProtocol("range", new byte[] { 0 })] });
        Assert.Equal(ErrorCode.None, joined.Error);
        var reset = await Assert.ThrowsAsync<BrokerException>(async () =>
            await _client.ResetGroupOffsetsAsync(new OffsetReset(_group, OffsetTarget.Earliest, [topic]), execute: true));
        Assert.Equal(ErrorCode.NonEmptyGroup, reset.Code);
        Assert.Contains("Stop its consumers first", reset.Message, StringComparison.Ordinal);
        using var deleted = await _broker.Http.DeleteAsync("/api/groups/" + Uri.EscapeDataString(_group));
        await RunningBroker.AssertProblemAsync(deleted, 409, ErrorCode.NonEmptyGroup);
        await _client.Groups.LeaveGroupAsync(new LeaveGroup(_group, [new LeavingMember(joined.MemberId)]));
        Assert.True((await _client.ResetGroupOffsetsAsync(new OffsetReset(_group, OffsetTarget.Earliest, [topic]),
            execute: true)).Executed);
    }

    [Theory]
    [InlineData("", "target")]
    [InlineData("{}", "one target")]
    [InlineData("""{"target":{"kind":"Offset","value":-1}}""", "offset -1")]
    [InlineData("""{"target":{"kind":"Sideways"}}""", "$.target.kind")]
    [InlineData("""{"target":{"kind":"Earliest"},"offsets":[]}""", "one target")]
    [InlineData("""{"offsets":[null]}""", "'offsets'")]
    [InlineData("""{"offsets":[{"topic":"t","partition":0,"offset":1},{"topic":"t","partition":0,"offset":2}]}""", "t-0 twice")]
    public async Task Invalid_reset_is_refused_by_name(string body, string named)
    {
        using var response = await _broker.Http.PostAsync("/api/groups/g/reset", RunningBroker.Json(body));
        await RunningBroker.AssertProblemAsync(response, 400, ErrorCode.InvalidRequest, named);
    }

    [Fact]
    public async Task Member_wait_ends_when_the_broker_stops()
    {
        var broker = new RunningBroker();
        await broker.InitializeAsync();
        using var client = new HttpBroker(new Uri(broker.Server.Address));
        var asked = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        broker.Script.OnGroups = new RecordedGroups
        {
            Before = async cancelled =>
            {
                asked.TrySetResult();
                await Task.Delay(Timeout.InfiniteTimeSpan, cancelled);
            },
        };
        var join = client.Groups.JoinGroupAsync(new JoinGroup { GroupId = "g" }).AsTask();
        await asked.Task.WaitAsync(RunningBroker.Patience);
        await broker.DisposeAsync();
        var answer = await join.WaitAsync(RunningBroker.Patience);
        Assert.Equal(ErrorCode.CoordinatorNotAvailable, answer.Error);
        Assert.Contains("shutting down", answer.Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Group_metrics_exist_until_the_group_is_deleted()
    {
        var topic = await PrepareAsync(committed: 1);
        var group = $"group=\"{_group.Replace("\"", "\\\"")}\"";
        var partition = $"{group},topic=\"{topic}\",partition=\"0\"";
        var metrics =
            await MetricsOnceAsync(text => text.Contains($"orleansmq_group_lag_records{{{partition}}} 2\n", StringComparison.Ordinal));
        Assert.Contains($"orleansmq_group_committed_offset{{{partition}}} 1\n", metrics, StringComparison.Ordinal);
        Assert.Contains($"orleansmq_group_members{{{group}}} 0\n", metrics, StringComparison.Ordinal);
        Assert.Contains($"orleansmq_group_rebalances_total{{{group}}} ", metrics, StringComparison.Ordinal);
        Assert.Contains($"orleansmq_group_lag_seconds{{{partition}}} ", metrics, StringComparison.Ordinal);
        Assert.DoesNotContain("orleansmq_group_commits_total 0\n", metrics, StringComparison.Ordinal);
        Assert.DoesNotContain("orleansmq_group_commit_duration_seconds_count 0\n", metrics, StringComparison.Ordinal);

        await _client.Groups.DeleteGroupAsync(_group);
        Assert.DoesNotContain(group, await _broker.Http.GetStringAsync("/metrics"), StringComparison.Ordinal);
    }

    private async Task<string> PrepareAsync(long committed)
    {
        var topic = await _broker.CreateTopicAsync();
        await _broker.ProduceAllAsync(topic,
            "{\"value\":\"a\",\"timestamp\":1000}\n{\"value\":\"b\",\"timestamp\":2000}\n{\"value\":\"c\",\"timestamp\":3000}");
        var stored = await _client.Groups.CommitOffsetsAsync(new OffsetCommit { GroupId = _group,
            Offsets = [new PartitionOffset(topic, 0, new CommittedOffset(committed))] });
        Assert.Equal(ErrorCode.None, Assert.Single(stored.Partitions).Error);
        return topic;
    }

    private async Task<JsonElement> GetAsync(string what) =>
        JsonDocument.Parse(await _broker.Http.GetStringAsync($"/api/groups/{Uri.EscapeDataString(_group)}/{what}")).RootElement;

    /// <summary>Polls the metrics, since groups are sampled only at intervals.</summary>
    private async Task<string> MetricsOnceAsync(Func<string, bool> wanted)
    {
        using var deadline = new CancellationTokenSource(RunningBroker.Patience);
        while (true)
        {
            var text = await _broker.Http.GetStringAsync("/metrics", deadline.Token);
            if (wanted(text))
                return text;
            await Task.Delay(50, deadline.Token);
        }
    }
}
