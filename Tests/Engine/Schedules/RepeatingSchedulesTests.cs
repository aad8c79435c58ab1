using System.Globalization;
using System.Text;
using OrleansMq.Api;
using OrleansMq.Brokers;
using OrleansMq.Diagnostics;
using OrleansMq.Partitions;
using OrleansMq.Partitions.Schedules;
using OrleansMq.Records;
using OrleansMq.Schedules;
using OrleansMq.Storage;
using OrleansMq.Tests.Engine.Brokers;
using OrleansMq.Tests.Engine.Partitions;
using OrleansMq.Tests.Engine.Storage;
using OrleansMq.Topics;

namespace OrleansMq.Tests.Engine.Schedules;

/// <summary>Schedules that repeat, in a broker of one process, by a clock that stands still. It begins on 14 November 2023 at
/// 22:13:20.</summary>
public sealed class RepeatingSchedulesTests : IAsyncLifetime
{
    private static readonly NewSchedule Hourly = new("orders") { Id = "x", Cron = "0 * * * *", Value = Encoding.UTF8.GetBytes("v") };

    private readonly ManualClock _clock = new();
    private readonly MemoryFileSystem _files = new();
    private LocalBroker _broker = null!;
    private Guid _topicId;

    private ISchedules Schedules => _broker.Schedules;

    public async Task InitializeAsync()
    {
        _broker = await OpenAsync(_files, _clock);
        _topicId = (await _broker.CreateTopicAsync(new NewTopic("orders", 1))).TopicId;
    }

    public async Task DisposeAsync() => await _broker.DisposeAsync();

    [Fact]
    public async Task Record_is_appended_at_each_firing_until_it_is_cancelled()
    {
        var made = await Schedules.CreateAsync(Hourly);
        Assert.Equal((Time("2023-11-14T23:00:00Z"), "0 * * * *", "UTC"), (made.At, made.Cron, made.TimeZone));
        for (var i = 0; i < 5; i++)
        {
            var next = (await FindAsync())!;
            Assert.Equal((Time("2023-11-14T23:00:00Z").AddHours(i), "0 * * * *", "UTC"), (next.At, next.Cron, next.TimeZone));
            Assert.Equal(next, Assert.Single((await Schedules.ListAsync(new ScheduleQuery())).Schedules));
            _clock.Advance(next.At - _clock.GetUtcNow() - TimeSpan.FromMilliseconds(1));
            await WaitAsync(i);
            _clock.Advance(TimeSpan.FromMilliseconds(1));
            await WaitAsync(i + 1);
            await SchedulingTest.UntilAsync(_clock, async () => (await FindAsync())?.At != next.At);
        }
        Assert.True(await Schedules.CancelAsync("orders", "x"));
        Assert.False(await Schedules.CancelAsync("orders", "x"));
        Assert.Null(await FindAsync());
        await EndsAsync(5);
    }

    [Fact]
    public async Task Zone_decides_the_hour_and_time_the_first_firing()
    {
        var begin = new DateTimeOffset(2024, 3, 30, 6, 0, 0, TimeSpan.FromHours(1));
        await _broker.DisposeAsync();
        _clock.Advance(begin - _clock.GetUtcNow() - TimeSpan.FromMinutes(1));
        _broker = await OpenAsync(_files, _clock);
        await Schedules.CreateAsync(Hourly with { Cron = "0 0 6 * * *", TimeZone = "Europe/Berlin", At = begin });
        Assert.Equal(begin, (await FindAsync())!.At);
        _clock.Advance(TimeSpan.FromMinutes(1));
        await WaitAsync(1);
        await SchedulingTest.UntilAsync(_clock, async () => (await FindAsync())!.At == Time("2024-03-31T04:00:00Z"));
        Assert.Equal("Europe/Berlin", (await FindAsync())!.TimeZone);
    }

    [Fact]
    public async Task Firings_that_were_missed_become_one_also_after_a_restart()
    {
        await Schedules.CreateAsync(Hourly);
        await _broker.DisposeAsync();
        _clock.Advance(TimeSpan.FromDays(3));
        var log = new RecordedLog();
        _broker = await OpenAsync(_files, _clock, log);
        await WaitAsync(1);
        Assert.Contains("was due at 2023-11-14T23:00:00.0000000+00:00", Assert.Single(log.At(EngineLogLevel.Warning),
            line => line.Contains("fires late", StringComparison.Ordinal)), StringComparison.Ordinal);
        await SchedulingTest.UntilAsync(_clock, async () => (await FindAsync())!.At == Time("2023-11-17T23:00:00Z"));
        _clock.Advance(TimeSpan.FromMinutes(46) + TimeSpan.FromSeconds(40));
        await WaitAsync(2);
        await RestartAsync();
        await SchedulingTest.UntilAsync(_clock, async () => (await FindAsync())!.At == Time("2023-11-18T00:00:00Z"));
        Assert.Equal(2, await CountAsync());
    }

    // More than a read takes, in front of one that is known.
    [Fact]
    public async Task Expressions_of_a_later_version_do_not_keep_others_of_their_zone_from_firing()
    {
        const int Unknown = 1_001;
        var due = Time("2023-11-14T23:00:00Z").ToUnixTimeMilliseconds();
        await Schedules.CreateAsync(Hourly);
        var partition = PartitionOf("x");
        using (var builder = new RecordBatchBuilder())
        {
            for (var i = 0; i < Unknown; i++)
            {
                var payload = new ScheduledPayload
                {
                    Id = $"later-{i}",
                    Topic = "orders",
                    TopicId = _topicId,
                    Cron = "0 * * * * each other",
                    TimeZone = "UTC",
                };
                var record = ScheduleRecords.OfScheduled(new ScheduleHandle(due - 1, ScheduledPayload.HashOf(_topicId, payload.Id)),
                    payload.Encode());
                builder.Add(due, record.Key, hasKey: true, record.Value!.Value.Span, hasValue: true);
            }
            Assert.Equal(ErrorCode.None, (await _broker.ProduceAsync(partition, builder.Build(), Acks.All)).Error);
        }
        await RestartAsync();
        _clock.Advance(Time("2023-11-14T23:00:00Z") - _clock.GetUtcNow());
        await WaitAsync(1);
        Assert.Equal(Unknown + 1, Partition(partition).Schedules.Waiting);
    }

    [Fact]
    public async Task Repeating_schedules_of_a_topic_have_a_bound_of_their_own()
    {
        await Schedules.CreateAsync(Hourly);
        Bound(1);
        Assert.Equal(ErrorCode.PolicyViolation, await ErrorAsync(Hourly with { Id = Other() }));
        await Schedules.CreateAsync(Hourly);
        await Schedules.CreateAsync(new NewSchedule("orders") { Id = Other(), At = _clock.GetUtcNow().AddHours(5) });
        await _broker.CreateTopicAsync(new NewTopic("more", 1));
        await Schedules.CreateAsync(Hourly with { Topic = "more" });
        // A firing takes no place, and a restart none either.
        _clock.Advance(Time("2023-11-14T23:00:00Z") - _clock.GetUtcNow());
        await WaitAsync(1);
        await SchedulingTest.UntilAsync(_clock, async () => (await FindAsync())!.At == Time("2023-11-15T00:00:00Z"));
        await RestartAsync();
        await FindAsync();
        Bound(2);
        await Schedules.CreateAsync(Hourly with { Id = Other("a") });
        Assert.Equal(ErrorCode.PolicyViolation, await ErrorAsync(Hourly with { Id = Other("b") }));
        Assert.True(await Schedules.CancelAsync("orders", "x"));
        await Schedules.CreateAsync(Hourly with { Id = Other("b") });

        // Another id of the same partition.
        string Other(string prefix = "o") => Enumerable.Range(0, 1_000).Select(i => $"{prefix}{i}")
            .First(id => PartitionOf(id) == PartitionOf("x"));

        void Bound(int most) => Partition(PartitionOf("x")).Schedules.MostRepeatingOfTopic = most;
    }

    [Fact]
    public async Task Schedule_that_was_listed_at_two_times_is_described_once()
    {
        var made = await Schedules.CreateAsync(Hourly);
        var hash = ScheduledPayload.HashOf(_topicId, "x");
        var places = new[] { made.At.AddHours(-1), made.At }.Select(at =>
            SchedulePlaces.Format(new ScheduleHandle(at.ToUnixTimeMilliseconds(), hash))).ToArray();
        Assert.Equal(made.At, Assert.Single(await Partition(PartitionOf("x")).Schedules.DescribeAsync(places, default)).At);
    }

    private TopicPartition PartitionOf(string id) => new(InternalTopics.Schedules, ScheduledPayload.PartitionOf(
        ScheduledPayload.HashOf(_topicId, id), 8));

    private Partition Partition(TopicPartition of)
    {
        Assert.True(_broker.TryGet(of, out var partition));
        return partition;
    }

    [Fact]
    public async Task Unchanged_schedule_is_one_also_after_firings_and_a_changed_one_is_refused()
    {
        for (var i = 0; i < 3; i++)
        {
            var made = await Task.WhenAll(Enumerable.Range(0, 5).Select(_ => Schedules.CreateAsync(Hourly).AsTask()));
            Assert.All(made, one => Assert.Equal(Time("2023-11-14T23:00:00Z").AddHours(i), one.At));
            Assert.Equal(made[0].At, (await Schedules.CreateAsync(Hourly with { TimeZone = "UTC" })).At);
            NewSchedule[] others = [Hourly with { Cron = "1 * * * *" }, Hourly with { TimeZone = "Asia/Tokyo" },
                Hourly with { Value = null }, Hourly with { At = _clock.GetUtcNow().AddDays(1) },
                new("orders") { Id = "x", At = _clock.GetUtcNow().AddHours(1) }, new("orders") { Id = "x", At = made[0].At }];
            foreach (var other in others)
                Assert.Equal(ErrorCode.InvalidRequest, await ErrorAsync(other));
            _clock.Advance(made[0].At - _clock.GetUtcNow());
            await WaitAsync(i + 1);
            await SchedulingTest.UntilAsync(_clock, async () => (await FindAsync())!.At != made[0].At);
            await RestartAsync();
        }
        // A record of the same id that is appended once stands in the way, too.
        await Schedules.CreateAsync(new NewSchedule("orders") { Id = "once", At = _clock.GetUtcNow().AddDays(1) });
        Assert.Equal(ErrorCode.InvalidRequest, await ErrorAsync(Hourly with { Id = "once" }));
    }

    [Fact]
    public async Task Schedule_that_is_created_again_after_its_firing_when_the_clock_was_set_back_repeats_and_fires_no_time_twice()
    {
        await Schedules.CreateAsync(Hourly);
        _clock.Advance(Time("2023-11-14T23:00:00Z") - _clock.GetUtcNow());
        await WaitAsync(1);
        await SchedulingTest.UntilAsync(_clock, async () => (await FindAsync())!.At == Time("2023-11-15T00:00:00Z"));
        Assert.True(await Schedules.CancelAsync("orders", "x"));
        _clock.Ahead = TimeSpan.FromMinutes(-10);
        await Schedules.CreateAsync(Hourly);
        Assert.Equal(Time("2023-11-15T00:00:00Z"), (await FindAsync())!.At);
    }

    [Fact]
    public async Task Schedule_that_is_created_again_while_its_cancellation_is_not_in_force_has_its_own_times()
    {
        await _broker.DisposeAsync();
        var files = new HeldFiles(_files);
        _broker = await OpenAsync(files, _clock);
        var now = _clock.GetUtcNow();
        (NewSchedule Old, NewSchedule New, DateTimeOffset At)[] cases =
        [
            (Hourly with { Cron = "* * * * * *" }, Hourly with { Cron = "0 0 1 1 *" }, Time("2024-01-01T00:00:00Z")),
            (new("orders") { Id = "x", At = now.AddYears(50) }, Hourly, Time("2023-11-14T23:00:00Z")),
            (Hourly, new("orders") { Id = "x", At = now.AddHours(5) }, now.AddHours(5)),
            (Hourly, Hourly, Time("2023-11-14T23:00:00Z")),
        ];
        foreach (var one in cases)
        {
            await Schedules.CreateAsync(one.Old);
            files.Hold();
            var cancelled = Schedules.CancelAsync("orders", "x").AsTask();
            await files.Held;
            var made = Schedules.CreateAsync(one.New).AsTask();
            var again = Schedules.CreateAsync(one.New).AsTask();
            // Behind the requests.
            await FindAsync();
            files.Release();
            Assert.True(await cancelled);
            Assert.Equal((one.At, one.At), ((await made).At, (await again).At));
            Assert.Equal((one.At, one.New.Cron), ((await FindAsync())!.At, (await FindAsync())!.Cron));
            Assert.Single((await Schedules.ListAsync(new ScheduleQuery())).Schedules);
            Assert.True(await Schedules.CancelAsync("orders", "x"));
        }
    }

    [Fact]
    public async Task Schedule_that_fires_while_it_is_listed_is_described_at_its_next_firing()
    {
        var made = await Schedules.CreateAsync(Hourly);
        var count = (await _broker.GetTopicAsync(InternalTopics.Schedules)).Partitions;
        var number = ScheduledPayload.PartitionOf(ScheduledPayload.HashOf(_topicId, "x"), count);
        IPartitionSchedules partition = Assert.Single(_broker.Partitions, one => one.TopicPartition
            == new TopicPartition(InternalTopics.Schedules, number)).Schedules;
        var places = await partition.ListAsync(null, 10, default);
        _clock.Advance(Time("2023-11-14T23:00:00Z") - _clock.GetUtcNow());
        await WaitAsync(1);
        await SchedulingTest.UntilAsync(_clock, async () => (await FindAsync())!.At == Time("2023-11-15T00:00:00Z"));
        Assert.Equal(Time("2023-11-15T00:00:00Z"), Assert.Single(await partition.DescribeAsync(places, default)).At);
    }

    [Fact]
    public async Task Schedules_of_a_deleted_topic_end()
    {
        await Schedules.CreateAsync(Hourly);
        await _broker.CreateTopicAsync(new NewTopic("other", 1));
        await Schedules.CreateAsync(Hourly with { Topic = "other" });
        await _broker.DeleteTopicAsync("orders");
        _clock.Advance(TimeSpan.FromHours(1));
        await SchedulingTest.UntilAsync(_clock, async () =>
            (await Schedules.ListAsync(new ScheduleQuery())).Schedules is [{ Topic: "other" }]);
    }

    [Fact]
    public async Task Process_killed_at_any_change_of_the_disk_appends_each_firing_once()
    {
        const int Firings = 2;
        for (var changes = 0; ; changes++)
        {
            var clock = new ManualClock();
            var files = new KillSwitch(new MemoryFileSystem(tracksPowerCuts: false));
            var broker = await OpenAsync(files, clock);
            await broker.CreateTopicAsync(new NewTopic("orders", 1));
            var made = await broker.Schedules.CreateAsync(Hourly);
            files.Arm(changes);
            var next = made.At;
            for (var i = 0; i < Firings && files.Left is null; i++)
            {
                clock.Advance(next - clock.GetUtcNow());
                await SchedulingTest.UntilAsync(clock, async () => files.Left is not null
                    || (await broker.Schedules.FindAsync("orders", "x"))!.At > next && await CountAsync(broker) == i + 1);
                next += TimeSpan.FromHours(1);
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
            await using var later = await OpenAsync(files.Left!, clock);
            for (; next <= made.At + TimeSpan.FromHours(Firings); next += TimeSpan.FromHours(1))
            {
                await SchedulingTest.UntilAsync(clock, async () => (await later.Schedules.FindAsync("orders", "x"))!.At == next);
                clock.Advance(next - clock.GetUtcNow());
            }
            await SchedulingTest.UntilAsync(clock, async () => (await later.Schedules.FindAsync("orders", "x"))!.At == next);
            await SchedulingTest.UntilAsync(clock, async () => await CountAsync(later) == Firings + 1);
            if (isDone)
            {
                Assert.True(changes > 10, $"Only {changes} changes: nothing was interrupted.");
                return;
            }
        }
    }

    [Fact]
    public async Task Values_out_of_range_are_refused_and_the_message_names_the_fix()
    {
        (NewSchedule Schedule, ErrorCode Error, string Part)[] bad =
        [
            (Hourly with { Cron = "" }, ErrorCode.InvalidRequest, "fields"),
            (Hourly with { Cron = "x * * * *" }, ErrorCode.InvalidRequest, "MON-FRI"),
            (Hourly with { Cron = "0 0 31 4 *" }, ErrorCode.InvalidRequest, "never fires"),
            (Hourly with { TimeZone = "Mars/Olympus" }, ErrorCode.InvalidRequest, "Europe/Berlin"),
            (Hourly with { Cron = null, TimeZone = "UTC" }, ErrorCode.InvalidRequest, "without cron"),
            (Hourly with { At = DateTimeOffset.MaxValue }, ErrorCode.InvalidRequest, "ahead"),
            (Hourly with { Value = new byte[NewSchedule.MaxRepeatedBytes + 1] }, ErrorCode.MessageTooLarge, "reference"),
        ];
        foreach (var (schedule, error, part) in bad)
        {
            var refusal = await Assert.ThrowsAsync<BrokerException>(async () => await Schedules.CreateAsync(schedule));
            Assert.Equal(error, refusal.Code);
            Assert.Contains(part, refusal.Message, StringComparison.Ordinal);
        }
        await Schedules.CreateAsync(Hourly with { Value = new byte[NewSchedule.MaxRepeatedBytes] });
    }

    [Fact]
    public async Task Broker_of_an_earlier_version_that_keeps_the_schedule_is_told_apart()
    {
        await Schedules.CreateAsync(new NewSchedule("orders") { Id = "first", At = _clock.GetUtcNow().AddDays(1) });
        var earlier = new EarlierPartition();
        var refusal = await Assert.ThrowsAsync<BrokerException>(async () =>
            await new RoutedSchedules(_broker, _ => earlier, _clock).CreateAsync(Hourly));
        Assert.Equal((ErrorCode.UnsupportedVersion, "x"), (refusal.Code, earlier.Cancelled));
    }

    [Fact]
    public void Payload_is_read_as_it_was_written_and_its_content_has_the_repetition()
    {
        var payload = new ScheduledPayload { Id = "x", Topic = "orders", TopicId = Guid.NewGuid(), Value = new byte[] { 1 },
            Headers = [new RecordHeader(new byte[] { 2 }, null)] };
        var repeated = payload with { Cron = "* * * * *", TimeZone = "Europe/Berlin", Begins = 77 };
        foreach (var one in (ScheduledPayload[])[payload, repeated])
        {
            var bytes = one.Encode();
            var read = ScheduledPayload.Decode(bytes);
            Assert.Equal((one.Cron, one.TimeZone, one.Begins, one.EncodedBytes), (read.Cron, read.TimeZone, read.Begins, bytes.Length));
            Assert.Null(ScheduleRecords.ReadAppendedAt(bytes));
            // Brokers that know no repetition refuse every version but 0 and 1.
            Assert.Equal(one.Repeats ? 2 : 0, bytes[0]);
        }
        var other = repeated.Encode();
        other[0] = 3;
        Assert.Throws<InvalidDataException>(() => ScheduledPayload.Decode(other));
        Assert.Throws<InvalidDataException>(() => ScheduleRecords.ReadAppendedAt(other));
        var contents = new[] { payload, repeated, repeated with { Begins = 78 }, repeated with { TimeZone = "UTC" },
            repeated with { Cron = "0 * * * *" } }.Select(one => ScheduleRecords.ReadContent(one.Encode()));
        Assert.Equal(5, contents.Distinct().Count());
        Assert.Throws<InvalidDataException>(() => ScheduledPayload.Decode(repeated.Encode()[..^1]));
    }

    // The changes of the schedules' log wait while they are held.
    private sealed class HeldFiles(IFileSystem inner) : WrappedFileSystem(inner)
    {
        private readonly ManualResetEventSlim _gate = new(true);
        private TaskCompletionSource _held = new();

        public Task Held => _held.Task.WaitAsync(TimeSpan.FromSeconds(30));

        public void Hold()
        {
            _held = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
            _gate.Reset();
        }

        public void Release() => _gate.Set();

        public override IFile Open(string path, FileOpening mode) => new WrappedFile(Inner.Open(path, mode),
            path.Contains(InternalTopics.Schedules, StringComparison.Ordinal) ? Wait : null);

        private void Wait()
        {
            if (!_gate.IsSet)
                _held.TrySetResult();
            Assert.True(_gate.Wait(TimeSpan.FromSeconds(60)), "The files were not released.");
        }
    }

    // It knows no repetition.
    private sealed class EarlierPartition : IPartitionSchedules
    {
        public string? Cancelled { get; private set; }

        public Task<ScheduleDescription> CreateAsync(Guid topicId, NewSchedule schedule, CancellationToken cancellationToken) =>
            Task.FromResult(new ScheduleDescription(schedule.Id!, schedule.Topic, schedule.At));

        public Task<bool> CancelAsync(Guid topicId, string id, CancellationToken cancellationToken)
        {
            Cancelled = id;
            return Task.FromResult(true);
        }

        public Task<ScheduleDescription?> FindAsync(Guid topicId, string id, CancellationToken cancellationToken) =>
            throw new NotSupportedException();

        public Task<string[]> ListAsync(string? after, int maxCount, CancellationToken cancellationToken) =>
            throw new NotSupportedException();

        public Task<ScheduleDescription[]> DescribeAsync(string[] places, CancellationToken cancellationToken) =>
            throw new NotSupportedException();
    }

    private static Task<LocalBroker> OpenAsync(IFileSystem files, ManualClock clock, RecordedLog? log = null) =>
        LocalBroker.OpenAsync(new BrokerOptions
        {
            DataDirectory = "/data",
            FileSystem = files,
            TimeProvider = clock,
            Log = log ?? new RecordedLog(),
            MinFreeBytes = 0,
        });

    private async Task RestartAsync()
    {
        await _broker.DisposeAsync();
        _broker = await OpenAsync(_files, _clock);
    }

    private async Task<ErrorCode> ErrorAsync(NewSchedule schedule) =>
        (await Assert.ThrowsAsync<BrokerException>(async () => await Schedules.CreateAsync(schedule))).Code;

    private ValueTask<ScheduleDescription?> FindAsync() => Schedules.FindAsync("orders", "x");

    private static DateTimeOffset Time(string text) => DateTimeOffset.Parse(text, CultureInfo.InvariantCulture);

    private async Task<long> CountAsync(LocalBroker? broker = null) =>
        (await (broker ?? _broker).FindOffsetAsync(new TopicPartition("orders", 0), OffsetSpec.Latest)).Offset;

    private async Task WaitAsync(int count)
    {
        await SchedulingTest.UntilAsync(_clock, async () => await CountAsync() >= count);
        Assert.Equal(count, await CountAsync());
    }

    // A record that comes last shows that none comes before.
    private async Task EndsAsync(int count)
    {
        await Schedules.CreateAsync(new NewSchedule("orders") { At = _clock.GetUtcNow().AddHours(3) });
        _clock.Advance(TimeSpan.FromHours(3));
        await WaitAsync(count + 1);
    }
}
