using System.Text;
using OrleansMq.Access;
using OrleansMq.Api;
using OrleansMq.Brokers;
using OrleansMq.Partitions.Schedules;
using OrleansMq.Records;
using OrleansMq.Schedules;
using OrleansMq.Storage;
using OrleansMq.Tests.Engine.Brokers;
using OrleansMq.Tests.Engine.Partitions;
using OrleansMq.Tests.Shared;
using OrleansMq.Topics;

namespace OrleansMq.Tests.Engine.Schedules;

/// <summary>Schedules in a broker of one process, by a clock that stands still.</summary>
public sealed class LocalSchedulesTests : IAsyncLifetime
{

    private readonly ManualClock _clock = new();
    private readonly RecordedLog _log = new();
    private readonly MemoryFileSystem _files = new();
    private LocalBroker _broker = null!;

    public async Task InitializeAsync()
    {
        _broker = await OpenAsync(_files);
        await _broker.CreateTopicAsync(new NewTopic("orders", 1));
    }

    public async Task DisposeAsync() => await _broker.DisposeAsync();

    [Fact]
    public async Task Record_is_appended_at_its_time_and_not_before()
    {
        var made = await ScheduleAsync("a", TimeSpan.FromHours(3));
        Assert.Equal(_clock.GetUtcNow().AddHours(3), made.At);
        _clock.Advance(TimeSpan.FromHours(3) - TimeSpan.FromMilliseconds(1));
        Assert.Single((await _broker.Schedules.ListAsync(new ScheduleQuery())).Schedules);
        Assert.Empty(await ValuesAsync());
        _clock.Advance(TimeSpan.FromMilliseconds(1));
        await WaitAsync("a");
        Assert.Empty((await _broker.Schedules.ListAsync(new ScheduleQuery())).Schedules);
        Assert.Null(await _broker.Schedules.FindAsync("orders", made.Id));
        Assert.False(await _broker.Schedules.CancelAsync("orders", made.Id));
    }

    [Fact]
    public async Task Record_arrives_as_it_was_scheduled_in_the_partition_of_its_key_or_the_one_given()
    {
        await _broker.CreateTopicAsync(new NewTopic("many", 7));
        var schedule = new NewSchedule("many")
        {
            At = _clock.GetUtcNow(),
            Key = Encoding.UTF8.GetBytes("k"),
            Value = Encoding.UTF8.GetBytes("v"),
            Headers = [new RecordHeader(Encoding.UTF8.GetBytes("h"), Encoding.UTF8.GetBytes("x")), new RecordHeader(default, null)],
        };
        await _broker.Schedules.CreateAsync(schedule);
        await _broker.Schedules.CreateAsync(schedule with { Partition = 6, Key = null, Value = null, Headers = [] });
        var byKey = Partitioning.Murmur2Partitioner.ForKey("k"u8, 7);
        Assert.NotEqual(6, byKey);
        await WaitAsync(["v"], new TopicPartition("many", byKey));
        using var fetched = await _broker.FetchAsync(new FetchRequest(new TopicPartition("many", byKey), 0));
        using var reader = new RecordReader(fetched.Records, CompressionCodecs.Empty);
        Assert.True(reader.MoveNext());
        Assert.Equal("k", Encoding.UTF8.GetString(reader.Current.Key!.Value.Span));
        Assert.InRange(reader.Current.Timestamp, schedule.At.ToUnixTimeMilliseconds(), _clock.Now);
        var headers = reader.Current.ReadHeaders();
        Assert.Equal(("h", "x"), (Encoding.UTF8.GetString(headers[0].Key.Span), Encoding.UTF8.GetString(headers[0].Value!.Value.Span)));
        Assert.Null(headers[1].Value);
        await SchedulingTest.UntilAsync(_clock, async () =>
            (await _broker.FindOffsetAsync(new TopicPartition("many", 6), OffsetSpec.Latest)).Offset == 1);
    }

    [Fact]
    public async Task Cancelled_schedule_is_not_appended()
    {
        await ScheduleAsync("a", TimeSpan.FromHours(1), "first");
        await ScheduleAsync("b", TimeSpan.FromHours(1), "second");
        Assert.True(await _broker.Schedules.CancelAsync("orders", "first"));
        Assert.False(await _broker.Schedules.CancelAsync("orders", "first"));
        Assert.False(await _broker.Schedules.CancelAsync("orders", "never"));
        _clock.Advance(TimeSpan.FromHours(2));
        await WaitAsync("b");
    }

    [Fact]
    public async Task Id_names_one_schedule_and_repeats_of_a_call_are_one()
    {
        var at = _clock.GetUtcNow().AddHours(1);
        var schedule = new NewSchedule("orders") { Id = "x", At = at, Value = Encoding.UTF8.GetBytes("a") };
        var calls = await Task.WhenAll(Enumerable.Range(0, 10).Select(_ => _broker.Schedules.CreateAsync(schedule).AsTask()));
        Assert.All(calls, made => Assert.Equal(("x", at), (made.Id, made.At)));
        var other = await Assert.ThrowsAsync<BrokerException>(async () =>
            await _broker.Schedules.CreateAsync(schedule with { At = at.AddSeconds(1) }));
        Assert.Equal(ErrorCode.InvalidRequest, other.Code);
        _clock.Advance(TimeSpan.FromHours(2));
        await WaitAsync("a");
    }

    [Fact]
    public async Task Call_that_is_repeated_after_its_record_was_appended_appends_it_once_also_after_a_restart()
    {
        var schedule = new NewSchedule("orders") { Id = "x", At = _clock.GetUtcNow(), Value = Encoding.UTF8.GetBytes("a") };
        await _broker.Schedules.CreateAsync(schedule);
        await WaitAsync("a");
        for (var i = 0; i < 2; i++)
        {
            Assert.Equal("x", (await _broker.Schedules.CreateAsync(schedule)).Id);
            foreach (var other in (NewSchedule[])[schedule with { Value = null }, schedule with { Key = Array.Empty<byte>() },
                schedule with { Partition = 0 }])
                Assert.Equal(ErrorCode.InvalidRequest, (await Assert.ThrowsAsync<BrokerException>(async () =>
                    await _broker.Schedules.CreateAsync(other))).Code);
            Assert.Null(await _broker.Schedules.FindAsync("orders", "x"));
            await RestartAsync();
        }
        await ScheduleAsync("b", TimeSpan.FromSeconds(1), "x");
        _clock.Advance(TimeSpan.FromSeconds(1));
        await WaitAsync("a", "b");
    }

    [Fact]
    public async Task Same_id_names_another_schedule_in_each_topic_also_in_one_that_is_created_again()
    {
        await _broker.CreateTopicAsync(new NewTopic("other", 1));
        await ScheduleAsync("a", TimeSpan.FromHours(1), "x");
        await _broker.Schedules.CreateAsync(Schedule("b", _clock.GetUtcNow().AddHours(2)) with { Topic = "other", Id = "x" });
        Assert.Equal(1, (await _broker.Schedules.FindAsync("other", "x"))!.At.Subtract(
            (await _broker.Schedules.FindAsync("orders", "x"))!.At).TotalHours);
        Assert.True(await _broker.Schedules.CancelAsync("other", "x"));
        Assert.NotNull(await _broker.Schedules.FindAsync("orders", "x"));
        await _broker.DeleteTopicAsync("other");
        await _broker.CreateTopicAsync(new NewTopic("other", 1));
        Assert.Null(await _broker.Schedules.FindAsync("other", "x"));
        await ScheduleAsync("c", TimeSpan.FromHours(1), "y");
        await _broker.DeleteTopicAsync("orders");
        await _broker.CreateTopicAsync(new NewTopic("orders", 1));
        await ScheduleAsync("d", TimeSpan.FromHours(1), "y");
        _clock.Advance(TimeSpan.FromHours(3));
        await WaitAsync("d");
        await SchedulingTest.UntilAsync(_clock, async () => (await _broker.Schedules.ListAsync(new ScheduleQuery())).Schedules.Count == 0);
        Assert.Equal(["d"], await ValuesAsync());
    }

    [Fact]
    public async Task Schedules_survive_a_restart_and_those_that_became_due_meanwhile_are_appended_once()
    {
        await ScheduleAsync("missed", TimeSpan.FromHours(1));
        await ScheduleAsync("later", TimeSpan.FromHours(3), "later");
        await ScheduleAsync("cancelled", TimeSpan.FromHours(1), "cancelled");
        Assert.True(await _broker.Schedules.CancelAsync("orders", "cancelled"));
        await RestartAsync();
        Assert.Equal(2, (await _broker.Schedules.ListAsync(new ScheduleQuery())).Schedules.Count);
        await _broker.DisposeAsync();
        _clock.Advance(TimeSpan.FromHours(2));
        _broker = await OpenAsync(_files);
        await WaitAsync("missed");
        await RestartAsync();
        Assert.Equal("orders", (await _broker.Schedules.FindAsync("orders", "later"))?.Topic);
        _clock.Advance(TimeSpan.FromHours(1));
        await WaitAsync("missed", "later");
        await RestartAsync();
        Assert.Equal(["missed", "later"], await ValuesAsync());
    }

    [Fact]
    public async Task Process_killed_at_any_change_of_the_disk_appends_each_answered_schedule_once()
    {
        const int Count = 10;
        for (var changes = 0; ; changes++)
        {
            var clock = new ManualClock();
            var files = new KillSwitch(new MemoryFileSystem(tracksPowerCuts: false));
            var broker = await OpenAsync(files, clock);
            await broker.CreateTopicAsync(new NewTopic("orders", 1));
            for (var i = 0; i < Count; i++)
                await broker.Schedules.CreateAsync(Schedule($"{i:00}", clock.GetUtcNow().AddSeconds(1 + i % 2)));
            files.Arm(changes);
            for (var i = 0; i < 2 && files.Left is null; i++)
            {
                clock.Advance(TimeSpan.FromSeconds(1));
                await SchedulingTest.UntilAsync(clock, async () => files.Left is not null
                    || (await broker.Schedules.ListAsync(new ScheduleQuery())).Schedules.Count <= (1 - i) * Count / 2);
            }
            var isDone = files.Left is null;
            files.Arm(0);
            try
            {
                await broker.DisposeAsync();
            }
            catch (IOException)
            {
            }
            await using var next = await OpenAsync(files.Left!, clock);
            clock.Advance(TimeSpan.FromSeconds(2));
            var expected = Enumerable.Range(0, Count).Select(i => $"{i:00}").ToList();
            await SchedulingTest.UntilAsync(clock, async () => (await ValuesAsync(next)).Count >= Count);
            await SchedulingTest.UntilAsync(clock, async () => (await next.Schedules.ListAsync(new ScheduleQuery())).Schedules.Count == 0);
            Assert.Equal(expected, (await ValuesAsync(next)).Order());
            if (isDone)
            {
                Assert.True(changes > 10, $"Only {changes} changes: nothing was interrupted.");
                return;
            }
        }
    }

    [Fact]
    public async Task Record_whose_topic_was_deleted_is_dropped_and_the_others_go_on()
    {
        await _broker.CreateTopicAsync(new NewTopic("gone", 1));
        await _broker.Schedules.CreateAsync(Schedule("x", _clock.GetUtcNow().AddHours(1)) with { Topic = "gone" });
        await ScheduleAsync("a", TimeSpan.FromHours(1));
        await _broker.DeleteTopicAsync("gone");
        _clock.Advance(TimeSpan.FromHours(1));
        await WaitAsync("a");
        await SchedulingTest.UntilAsync(_clock, async () => (await _broker.Schedules.ListAsync(new ScheduleQuery())).Schedules.Count == 0);
    }

    [Fact]
    public async Task Record_that_its_topic_refuses_waits_until_it_takes_it_and_the_others_arrive_also_later_ones()
    {
        await _broker.CreateTopicAsync(new NewTopic("compacted", 1));
        // Several in each partition of the schedules, each of which is one producer.
        var values = Enumerable.Range(0, 80).Select(i => $"{i:00}").ToArray();
        foreach (var value in values)
            await _broker.Schedules.CreateAsync(Schedule(value, _clock.GetUtcNow().AddSeconds(1)) with
            {
                Id = value,
                Topic = "compacted",
                Key = value[1] == '3' ? (ReadOnlyMemory<byte>?)null : Encoding.UTF8.GetBytes(value),
            });
        await _broker.AlterTopicAsync("compacted", new Dictionary<string, string?> { ["cleanup.policy"] = "compact" });
        _clock.Advance(TimeSpan.FromSeconds(1));
        var accepted = values.Where(value => value[1] != '3').ToArray();
        await WaitAsync(accepted, new TopicPartition("compacted", 0), isOrdered: false);
        await SchedulingTest.UntilAsync(_clock, async () => (await _broker.Schedules.ListAsync(new ScheduleQuery())).Schedules is
            { Count: 8 } held && held.All(schedule => schedule.Refusal is not null));
        Assert.All((await _broker.Schedules.ListAsync(new ScheduleQuery())).Schedules, held => Assert.Equal(
            "'compacted' is compacted (cleanup.policy): its records need a key.", held.Refusal));
        foreach (var value in values)
            await _broker.Schedules.CreateAsync(Schedule("later-" + value, _clock.GetUtcNow().AddSeconds(1)) with
            {
                Id = "later-" + value,
                Topic = "compacted",
                Key = Encoding.UTF8.GetBytes(value),
            });
        _clock.Advance(TimeSpan.FromSeconds(1));
        string[] later = [.. values.Select(value => "later-" + value)];
        await WaitAsync([.. accepted, .. later], new TopicPartition("compacted", 0), isOrdered: false);
        // Also by a broker that finds them in the log.
        await RestartAsync();
        await _broker.AlterTopicAsync("compacted", new Dictionary<string, string?> { ["cleanup.policy"] = "delete" });
        await WaitAsync([.. values, .. later], new TopicPartition("compacted", 0), isOrdered: false);
        Assert.Empty((await _broker.Schedules.ListAsync(new ScheduleQuery())).Schedules);
    }

    [Fact]
    public async Task Pages_have_all_schedules_in_the_order_of_their_times()
    {
        for (var i = 0; i < 50; i++)
            await ScheduleAsync($"{i}", TimeSpan.FromMinutes(1 + i * 7 % 50));
        var listed = new List<ScheduleDescription>();
        var page = new SchedulePage([], null);
        do
        {
            page = await _broker.Schedules.ListAsync(new ScheduleQuery { MaxCount = 7, After = page.Next });
            listed.AddRange(page.Schedules);
        }
        while (page.Next is not null);
        Assert.Equal(50, listed.Select(schedule => schedule.Id).Distinct().Count());
        Assert.Equal(listed.OrderBy(schedule => schedule.At), listed);
        Assert.Empty((await _broker.Schedules.ListAsync(new ScheduleQuery { Topic = "other" })).Schedules);
        foreach (var after in (string[])["", "x", "1-", "1-x", "-" + Guid.NewGuid().ToString("N")])
            Assert.Equal(ErrorCode.InvalidRequest, (await Assert.ThrowsAsync<BrokerException>(async () =>
                await _broker.Schedules.ListAsync(new ScheduleQuery { After = after }))).Code);
    }

    [Fact]
    public async Task Page_of_all_partitions_describes_only_what_is_on_it()
    {
        await ScheduleAsync("a", TimeSpan.FromHours(1));
        var partitions = Enumerable.Range(0, 8).Select(i => new ListedPartition(i)).ToArray();
        var schedules = new RoutedSchedules(_broker, partition => partitions[partition.Partition], _clock);
        var page = await schedules.ListAsync(new ScheduleQuery { MaxCount = 10 });
        Assert.Equal(10, page.Schedules.Count);
        Assert.Equal(10, partitions.Sum(partition => partition.Described));
        Assert.Equal(page.Schedules.OrderBy(schedule => schedule.At), page.Schedules);
        Assert.NotNull(page.Next);
    }

    [Fact]
    public async Task Topic_that_was_deleted_is_not_scheduled_for_by_a_broker_that_remembers_it_and_one_that_was_created_again_is()
    {
        var remembering = new RememberingBroker(_broker, await _broker.GetTopicAsync("orders"));
        var schedules = new RoutedSchedules(remembering, PartitionOf, _clock);
        // What the topic refuses is remembered, too.
        await schedules.CreateAsync(Schedule("of the deleted one", _clock.GetUtcNow().AddHours(1)) with { Id = "x" });
        await _broker.DeleteTopicAsync("orders");
        foreach (var call in (Func<Task>[])[() => schedules.CreateAsync(Schedule("a", _clock.GetUtcNow())).AsTask(),
            () => schedules.CancelAsync("orders", "x").AsTask(), () => schedules.FindAsync("orders", "x").AsTask()])
            Assert.Equal(ErrorCode.UnknownTopicOrPartition, (await Assert.ThrowsAsync<BrokerException>(call)).Code);
        await _broker.CreateTopicAsync(new NewTopic("orders", 1));
        await schedules.CreateAsync(Schedule("a", _clock.GetUtcNow().AddHours(1)) with { Id = "x" });
        Assert.Equal((await _broker.GetTopicAsync("orders")).TopicId, (await schedules.FindAsync("orders", "x"))!.TopicId);
        await schedules.CreateAsync(Schedule("b", _clock.GetUtcNow().AddHours(1)) with { Id = "y" });
        Assert.True(await schedules.CancelAsync("orders", "y"));
        _clock.Advance(TimeSpan.FromHours(1));
        await WaitAsync("a");

        IPartitionSchedules PartitionOf(TopicPartition name)
        {
            Assert.True(_broker.TryGet(name, out var partition));
            return partition.Schedules;
        }
    }

    // Looks a topic up from memory, as a broker of a cluster may.
    private sealed class RememberingBroker(IBroker inner, TopicListing remembered) : ForwardingBroker(inner)
    {
        public override ValueTask<TopicListing> GetTopicAsync(string topic, CancellationToken cancellationToken = default) =>
            topic == remembered.Name ? new(remembered) : base.GetTopicAsync(topic, cancellationToken);
    }

    // Each has endless schedules, one a second.
    private sealed class ListedPartition(int number) : IPartitionSchedules
    {
        public int Described { get; private set; }

        public Task<string[]> ListAsync(string? after, int maxCount, CancellationToken cancellationToken) => Task.FromResult(
            Enumerable.Range(0, maxCount).Select(i => SchedulePlaces.Format(new ScheduleHandle(i * 1_000 + number, default))).ToArray());

        public Task<ScheduleDescription[]> DescribeAsync(string[] places, CancellationToken cancellationToken)
        {
            Described += places.Length;
            return Task.FromResult(Array.ConvertAll(places, place =>
                new ScheduleDescription(place, "orders", DateTimeOffset.FromUnixTimeMilliseconds(SchedulePlaces.Parse(place).Due))));
        }

        public Task<ScheduleDescription> CreateAsync(Guid topicId, NewSchedule schedule, CancellationToken cancellationToken) =>
            throw new NotSupportedException();

        public Task<bool> CancelAsync(Guid topicId, string id, CancellationToken cancellationToken) => throw new NotSupportedException();

        public Task<ScheduleDescription?> FindAsync(Guid topicId, string id, CancellationToken cancellationToken) =>
            throw new NotSupportedException();
    }

    [Fact]
    public async Task Values_out_of_range_are_refused()
    {
        var good = Schedule("a", _clock.GetUtcNow());
        (NewSchedule Schedule, ErrorCode Error)[] bad =
        [
            (good with { Topic = "missing" }, ErrorCode.UnknownTopicOrPartition),
            (good with { Partition = 1 }, ErrorCode.UnknownTopicOrPartition),
            (good with { Partition = -2 }, ErrorCode.InvalidRequest),
            (good with { Id = "" }, ErrorCode.InvalidRequest),
            (good with { Id = new string('x', 201) }, ErrorCode.InvalidRequest),
            (good with { Id = "\ud800" }, ErrorCode.InvalidRequest),
            (good with { Id = "a\n" }, ErrorCode.InvalidRequest),
            (good with { At = DateTimeOffset.MaxValue }, ErrorCode.InvalidRequest),
            (good with { Value = new byte[NewSchedule.MaxBytes + 1] }, ErrorCode.MessageTooLarge),
            (good with { Topic = InternalTopics.Schedules }, ErrorCode.InvalidTopic),
        ];
        foreach (var (schedule, error) in bad)
            Assert.Equal(error, (await Assert.ThrowsAsync<BrokerException>(async () =>
                await _broker.Schedules.CreateAsync(schedule))).Code);
        await _broker.Schedules.CreateAsync(good with { Id = new string('\u00e4', 200), At = DateTimeOffset.MinValue });
        await WaitAsync("a");
    }

    [Fact]
    public async Task Record_that_its_topic_would_refuse_is_refused()
    {
        await _broker.CreateTopicAsync(new NewTopic("compacted", 1,
            Configs: new Dictionary<string, string> { ["cleanup.policy"] = "delete,compact" }));
        await _broker.CreateTopicAsync(new NewTopic("small", 1,
            Configs: new Dictionary<string, string> { ["max.message.bytes"] = "1000" }));
        var keyless = Schedule("a", _clock.GetUtcNow()) with { Topic = "compacted" };
        Assert.Equal(ErrorCode.InvalidRecord, (await Assert.ThrowsAsync<BrokerException>(async () =>
            await _broker.Schedules.CreateAsync(keyless))).Code);
        await _broker.Schedules.CreateAsync(keyless with { Key = Array.Empty<byte>() });
        // A batch of exactly the limit is the largest that is accepted, as the topic itself has it.
        var (accepted, small) = (0, Schedule("", _clock.GetUtcNow()) with { Topic = "small" });
        for (var size = 420; size < 500; size++)
        {
            var schedule = small with { Key = new byte[size], Value = new byte[size] };
            var result = await _broker.ProduceAsync(new TopicPartition("small", 0), TestBatches.At(_clock.Now, new string('x', size)),
                Acks.All);
            var isAccepted = result.Error != ErrorCode.MessageTooLarge;
            Assert.True(!isAccepted || result.Error == ErrorCode.None, result.Message);
            accepted += isAccepted ? 1 : 0;
            if (isAccepted)
                await _broker.Schedules.CreateAsync(schedule);
            else
                Assert.Equal(ErrorCode.MessageTooLarge, (await Assert.ThrowsAsync<BrokerException>(async () =>
                    await _broker.Schedules.CreateAsync(schedule))).Code);
        }
        Assert.InRange(accepted, 10, 70);
        await SchedulingTest.UntilAsync(_clock, async () =>
            (await _broker.FindOffsetAsync(new TopicPartition("small", 0), OffsetSpec.Latest)).Offset == 2 * accepted);
        // What was remembered of a topic ends.
        await _broker.AlterTopicAsync("small", new Dictionary<string, string?> { ["max.message.bytes"] = "2000" });
        _clock.Advance(TimeSpan.FromSeconds(11));
        await _broker.Schedules.CreateAsync(small with { Value = new byte[1_000] });
    }

    [Theory]
    [InlineData(InternalTopics.Schedules)]
    [InlineData(InternalTopics.Outbox)]
    public async Task Client_lists_the_internal_topic_and_neither_reads_nor_changes_it(string topic)
    {
        await _broker.CreateTopicAsync(new NewTopic(topic, 1));
        var client = _broker.Access.Open(BrokerSession.InProcess).Broker;
        var partition = new TopicPartition(topic, 0);
        Assert.Contains(await client.ListTopicsAsync(), listed => listed.Name == topic);
        Assert.Equal(ErrorCode.TopicAuthorizationFailed, (await client.FetchAsync(new FetchRequest(partition, 0))).Error);
        Assert.Equal(ErrorCode.TopicAuthorizationFailed, (await client.ProduceAsync(partition, TestBatches.Of("x"), Acks.All)).Error);
        Func<Task>[] changes =
        [
            async () => await client.DeleteTopicAsync(topic),
            async () => await client.CreateTopicAsync(new NewTopic(topic)),
            async () => await client.AddPartitionsAsync(topic, 20),
            async () => await client.AlterTopicAsync(topic, new Dictionary<string, string?> { ["retention.ms"] = "1" }),
            async () => await client.DeleteRecordsAsync(partition, -1),
            async () => await client.Queues.CreateAsync(partition, new NewQueue("q")),
        ];
        foreach (var change in changes)
            Assert.Equal(ErrorCode.TopicAuthorizationFailed, (await Assert.ThrowsAsync<BrokerException>(change)).Code);
        var session = _broker.Access.Open(BrokerSession.InProcess);
        Assert.False(session.TryOpen(partition, default, AccessOperation.Write, out _, out var refused));
        Assert.Equal(ErrorCode.TopicAuthorizationFailed, refused);
    }

    [Fact]
    public async Task Session_schedules_and_cancels_by_its_right_to_write_the_topic()
    {
        await ScheduleAsync("a", TimeSpan.FromHours(1), "a");
        var authorizer = new SwitchedAuthorizer { Denies = true };
        var denied = SchedulesOf(new BrokerAccess(_broker, _broker, authorizer));
        var refusal = await Assert.ThrowsAsync<BrokerException>(async () =>
            await denied.CreateAsync(Schedule("b", _clock.GetUtcNow().AddHours(1))));
        Assert.Equal(ErrorCode.TopicAuthorizationFailed, refusal.Code);
        Func<Task>[] calls = [async () => await denied.FindAsync("orders", "a"), async () => await denied.CancelAsync("orders", "a")];
        foreach (var call in calls)
            Assert.Equal(ErrorCode.TopicAuthorizationFailed, (await Assert.ThrowsAsync<BrokerException>(call)).Code);
        Assert.Equal(ErrorCode.ClusterAuthorizationFailed, (await Assert.ThrowsAsync<BrokerException>(async () =>
            await denied.ListAsync(new ScheduleQuery()))).Code);
        Assert.NotNull(await _broker.Schedules.FindAsync("orders", "a"));
        var allowed = SchedulesOf(_broker.Access);
        Assert.Equal("a", (await allowed.FindAsync("orders", "a"))?.Id);
        Assert.True(await allowed.CancelAsync("orders", "a"));
    }

    [Fact]
    public async Task Broker_without_use_of_schedules_has_no_topic_of_them()
    {
        Assert.Empty((await _broker.Schedules.ListAsync(new ScheduleQuery())).Schedules);
        Assert.False(await _broker.Schedules.CancelAsync("orders", "x"));
        Assert.Null(await _broker.Schedules.FindAsync("orders", "x"));
        Assert.Equal(["orders"], (await _broker.ListTopicsAsync()).Select(topic => topic.Name));
    }

    private Task<LocalBroker> OpenAsync(IFileSystem files, ManualClock? clock = null) => LocalBroker.OpenAsync(new BrokerOptions
    {
        DataDirectory = "/data",
        FileSystem = files,
        TimeProvider = clock ?? _clock,
        Log = _log,
        MinFreeBytes = 0,
    });

    private async Task RestartAsync()
    {
        await _broker.DisposeAsync();
        _broker = await OpenAsync(_files);
    }

    private static NewSchedule Schedule(string value, DateTimeOffset at) =>
        new("orders") { At = at, Value = Encoding.UTF8.GetBytes(value) };

    private ValueTask<ScheduleDescription> ScheduleAsync(string value, TimeSpan delay, string? id = null) =>
        _broker.Schedules.CreateAsync(Schedule(value, _clock.GetUtcNow() + delay) with { Id = id });

    private async Task<IReadOnlyList<string>> ValuesAsync(LocalBroker? broker = null, TopicPartition? partition = null)
    {
        using var fetched = await (broker ?? _broker).FetchAsync(new FetchRequest(partition ?? new TopicPartition("orders", 0), 0));
        Assert.True(fetched.Error == ErrorCode.None, fetched.Message);
        return [.. TestBatches.Read(fetched.Records).Select(record => record.Value)];
    }

    private Task WaitAsync(params string[] values) => WaitAsync(values, new TopicPartition("orders", 0));

    private async Task WaitAsync(string[] values, TopicPartition partition, bool isOrdered = true)
    {
        await SchedulingTest.UntilAsync(_clock, async () => (await ValuesAsync(partition: partition)).Count >= values.Length);
        var found = await ValuesAsync(partition: partition);
        if (isOrdered)
            Assert.Equal(values, found);
        else
            Assert.Equal(values.Order(), found.Order());
    }

    private static ISchedules SchedulesOf(BrokerAccess access) =>
        access.Open(BrokerSession.InProcess).Broker.Schedules;
}
