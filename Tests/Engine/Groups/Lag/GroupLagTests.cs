using OrleansMq.Api;
using OrleansMq.Brokers;
using OrleansMq.Groups;
using OrleansMq.Records;
using OrleansMq.Storage;
using OrleansMq.Tests.Shared;

namespace OrleansMq.Tests.Engine.Groups.Lag;

/// <summary>Lag and resets over an in-memory broker. The clock stands 100 s after the first record's time.</summary>
public sealed class GroupLagTests : IAsyncLifetime
{
    private const string Group = "billing";
    private readonly FixedTime _time = new(DateTimeOffset.FromUnixTimeMilliseconds(TestBatches.FirstTimestamp + 100_000));
    private LocalBroker _local = null!;
    private CountedBroker _broker = null!;
    private GroupLag _lag = null!;
    private GroupOffsetResets _resets = null!;

    public async Task InitializeAsync()
    {
        _local = await LocalBroker.OpenAsync(new BrokerOptions { DataDirectory = "/data", FileSystem = new MemoryFileSystem() });
        _broker = new CountedBroker(_local);
        _lag = new GroupLag(_broker, _time, CompressionCodecs.Empty);
        _resets = new GroupOffsetResets(_broker, _time);
        await _broker.CreateTopicAsync(new NewTopic("orders", 3, 1, new Dictionary<string, string> { ["retention.ms"] = "-1" }));
    }

    public async Task DisposeAsync() => await _local.DisposeAsync();

    [Fact]
    public async Task Lag_in_records_and_seconds_counts_from_the_first_unconsumed_record()
    {
        await ProduceAsync(0, "a", "b", "c");
        await ProduceAsync(1, "a");
        await CommitAsync((0, 1), (1, 1), (2, 0));
        var lags = await _lag.OfAsync(Group);
        // In the middle of a batch: record 1 is a second younger than the batch's first.
        Assert.Equal([new PartitionLag(new("orders", 0), 1, 3, 2, 99), new PartitionLag(new("orders", 1), 1, 1, 0, 0),
            new PartitionLag(new("orders", 2), 0, 0, 0, 0)], lags);
    }

    [Fact]
    public async Task Idle_group_causes_no_reads()
    {
        await ProduceAsync(0, "a", "b");
        await CommitAsync((0, 1));
        Assert.Equal(99, (await _lag.OfAsync(Group)).Single().Seconds);
        Assert.Equal(1, _broker.Fetched);
        _time.Now += TimeSpan.FromSeconds(10);
        await ProduceAsync(0, "c");
        Assert.Equal((2, 109), ((await _lag.OfAsync(Group)).Single().Records, (await _lag.OfAsync(Group)).Single().Seconds));
        Assert.Equal(1, _broker.Fetched);

        await CommitAsync((0, 3));
        _broker.Found = 0;
        Assert.Equal(0, (await _lag.OfAsync(Group)).Single().Seconds);
        Assert.Equal((1, 1), (_broker.Found, _broker.Fetched));
    }

    [Fact]
    public async Task Advanced_commit_is_read_again()
    {
        await ProduceAsync(0, "a", "b", "c");
        await CommitAsync((0, 0));
        Assert.Equal(100, (await _lag.OfAsync(Group)).Single().Seconds);
        await CommitAsync((0, 2));
        Assert.Equal((1, 98), ((await _lag.OfAsync(Group)).Single().Records, (await _lag.OfAsync(Group)).Single().Seconds));
    }

    [Fact]
    public async Task Deleted_records_do_not_count_as_lag()
    {
        await ProduceAsync(0, "a", "b");
        await ProduceAsync(0, "c");
        await CommitAsync((0, 0));
        Assert.Equal(100, (await _lag.OfAsync(Group)).Single().Seconds);
        await _broker.DeleteRecordsAsync(new("orders", 0), 1);
        Assert.Equal(99, (await _lag.OfAsync(Group)).Single().Seconds);
        await _broker.DeleteRecordsAsync(new("orders", 0), -1);
        Assert.Equal(0, (await _lag.OfAsync(Group)).Single().Seconds);
    }

    [Fact]
    public async Task Records_of_aborted_transactions_are_no_seconds_of_lag_and_read_once()
    {
        await ProduceAsync(0, "a");
        await CommitAsync((0, 1));
        var transactions = await TestTransactions.InitAsync(_broker, "aborts");
        for (var i = 0; i < 3; i++)
        {
            await transactions.SendAsync("orders", 0, await transactions.AddAsync("orders", 0), i, "never");
            // An open transaction may commit.
            Assert.Equal(100, (await _lag.OfAsync(Group)).Single().Seconds);
            await transactions.EndAsync(isCommit: false);
        }
        Assert.Equal((6, 0), ((await _lag.OfAsync(Group)).Single().Records, (await _lag.OfAsync(Group)).Single().Seconds));
        _broker.Fetched = 0;
        Assert.Equal(0, (await _lag.OfAsync(Group)).Single().Seconds);
        Assert.Equal(0, _broker.Fetched);
        await ProduceAsync(0, "b");
        Assert.Equal(100, (await _lag.OfAsync(Group)).Single().Seconds);
        _broker.Fetched = 0;
        Assert.Equal(100, (await _lag.OfAsync(Group)).Single().Seconds);
        Assert.Equal(0, _broker.Fetched);
    }

    [Fact]
    public async Task Partition_without_leader_has_unknown_lag_and_others_do_not()
    {
        await ProduceAsync(0, "a");
        await ProduceAsync(1, "a");
        await CommitAsync((0, 0), (1, 0));
        _broker.OnFind = partition => partition.Partition == 1 ? new OffsetResult(ErrorCode.LeaderNotAvailable, -1, Message: "no leader")
            : null;
        var lags = await _lag.OfAsync(Group);
        Assert.Equal((1L, 100.0), (lags[0].Records!.Value, lags[0].Seconds!.Value));
        Assert.Equal(new PartitionLag(new("orders", 1), 0, null, null, null, null, ErrorCode.LeaderNotAvailable, "no leader"), lags[1]);
    }

    [Fact]
    public async Task Record_with_a_future_timestamp_has_no_negative_lag()
    {
        await ProduceAsync(0, "a");
        await CommitAsync((0, 0));
        _time.Now -= TimeSpan.FromDays(1);
        Assert.Equal(0, (await _lag.OfAsync(Group)).Single().Seconds);
    }

    [Fact]
    public async Task Unknown_group_has_no_lag()
    {
        var error = await Assert.ThrowsAsync<BrokerException>(async () => await _lag.OfAsync("nobody"));
        Assert.Equal(ErrorCode.GroupIdNotFound, error.Code);
    }

    [Fact]
    public async Task Reset_plan_changes_nothing_and_its_execution_commits_the_plan()
    {
        await ProduceAsync(0, "a", "b", "c");
        await ProduceAsync(1, "a");
        await CommitAsync((0, 3), (1, 1));
        var reset = new OffsetReset(Group, OffsetTarget.ToTime(DateTimeOffset.FromUnixTimeMilliseconds(TestBatches.FirstTimestamp + 500)),
            Topics: ["orders"]);

        var plan = await _resets.PlanAsync(reset);
        Assert.False(plan.Executed);
        Assert.Equal([(0, 3L, 1L), (1, 1L, 1L), (2, -1L, 0L)],
            plan.Partitions.Select(p => (p.Partition.Partition, p.Committed ?? -1, p.Target ?? -1)));
        Assert.Equal([(0, 3L), (1, 1L)], await CommittedAsync());

        Assert.True((await _resets.ExecuteAsync(reset)).Executed);
        Assert.Equal([(0, 1L), (1, 1L), (2, 0L)], await CommittedAsync());
    }

    [Fact]
    public async Task Reset_selects_partitions_by_topic_number_offset_or_commit()
    {
        await ProduceAsync(0, "a", "b");
        await CommitAsync((0, 2), (2, 0));
        async Task<IEnumerable<int>> Chosen(OffsetReset reset) =>
            (await _resets.PlanAsync(reset)).Partitions.Select(partition => partition.Partition.Partition);
        Assert.Equal([0, 2], await Chosen(new OffsetReset(Group, OffsetTarget.Earliest)));
        Assert.Equal([0, 1, 2], await Chosen(new OffsetReset(Group, OffsetTarget.Earliest, Topics: ["orders"])));
        Assert.Equal([1], await Chosen(new OffsetReset(Group, OffsetTarget.Earliest, Partitions: [new("orders", 1)])));
        var byOffset =
            await _resets.PlanAsync(new OffsetReset(Group,
                Offsets: new Dictionary<TopicPartition, long> { [new("orders", 0)] = 1, [new("orders", 1)] = 9 }));
        Assert.Equal([(0, 1L), (1, 0L)], byOffset.Partitions.Select(p => (p.Partition.Partition, p.Target!.Value)));
    }

    [Fact]
    public async Task Invalid_reset_is_refused_by_name()
    {
        async Task<BrokerException> Refused(OffsetReset reset) =>
            await Assert.ThrowsAsync<BrokerException>(async () => await _resets.ExecuteAsync(reset));
        Assert.Equal(ErrorCode.GroupIdNotFound, (await Refused(new OffsetReset("nobody", OffsetTarget.Earliest))).Code);
        Assert.Equal(ErrorCode.UnknownTopicOrPartition,
            (await Refused(new OffsetReset(Group, OffsetTarget.Earliest, Topics: ["missing"]))).Code);
        Assert.Contains("0 to 2", (await Refused(new OffsetReset(Group, OffsetTarget.Earliest, Partitions: [new("orders", 3)]))).Message,
            StringComparison.Ordinal);
        Assert.Equal(ErrorCode.InvalidRequest, (await Refused(new OffsetReset(Group, Topics: ["orders"]))).Code);
        Assert.Contains("-1", (await Refused(new OffsetReset(Group, OffsetTarget.ToOffset(-1), Topics: ["orders"]))).Message,
            StringComparison.Ordinal);
    }

    [Fact]
    public async Task Partition_that_cannot_be_looked_up_stops_the_whole_reset()
    {
        await CommitAsync((0, 0), (1, 0));
        _broker.OnFind = partition => partition.Partition == 1 ? new OffsetResult(ErrorCode.LeaderNotAvailable, -1, Message: "no leader")
            : null;
        var reset = new OffsetReset(Group, OffsetTarget.Latest);
        await ProduceAsync(0, "a");
        Assert.Equal(ErrorCode.LeaderNotAvailable, (await _resets.PlanAsync(reset)).Partitions[1].Error);
        var error = await Assert.ThrowsAsync<BrokerException>(async () => await _resets.ExecuteAsync(reset));
        Assert.Equal(ErrorCode.LeaderNotAvailable, error.Code);
        Assert.Equal([(0, 0L), (1, 0L)], await CommittedAsync());
    }

    [Fact]
    public async Task Group_with_members_is_planned_but_not_reset()
    {
        await CommitAsync((0, 0));
        await ProduceAsync(0, "a");
        var joined = await _broker.Groups.JoinGroupAsync(new JoinGroup { GroupId = Group, RequireKnownMemberId = false,
            Protocols = [new GroupProtocol("range", new byte[] { 0 })] });
        Assert.Equal(ErrorCode.None, joined.Error);
        var reset = new OffsetReset(Group, OffsetTarget.Latest, Topics: ["orders"]);
        Assert.Equal(1, (await _resets.PlanAsync(reset)).Members);
        var error = await Assert.ThrowsAsync<BrokerException>(async () => await _resets.ExecuteAsync(reset));
        Assert.Equal(ErrorCode.NonEmptyGroup, error.Code);
        Assert.Equal([(0, 0L)], await CommittedAsync());
    }

    private async Task ProduceAsync(int partition, params string[] values) =>
        Assert.Equal(ErrorCode.None, (await _broker.ProduceAsync(new("orders", partition), TestBatches.Of(values), Acks.All)).Error);

    private async Task CommitAsync(params (int Partition, long Offset)[] offsets)
    {
        var committed = await _broker.Groups.CommitOffsetsAsync(new OffsetCommit
        {
            GroupId = Group,
            Offsets = [.. offsets.Select(offset => new PartitionOffset("orders", offset.Partition, new CommittedOffset(offset.Offset)))],
        });
        Assert.All(committed.Partitions, partition => Assert.Equal(ErrorCode.None, partition.Error));
    }

    private async Task<IEnumerable<(int, long)>> CommittedAsync() =>
        (await _broker.Groups.FetchOffsetsAsync(new OffsetFetch { GroupId = Group })).Partitions.Select(p =>
            (p.Partition.Partition, p.Offset!.Offset)).Order();

    private sealed class FixedTime(DateTimeOffset now) : TimeProvider
    {
        public DateTimeOffset Now { get; set; } = now;

        public override DateTimeOffset GetUtcNow() => Now;
    }
}
