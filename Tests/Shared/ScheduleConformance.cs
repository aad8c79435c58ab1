using System.Diagnostics;
using System.Text;
using OrleansMq.Api;
using OrleansMq.Records;

namespace OrleansMq.Tests.Shared;

/// <summary>The contract of <see cref="ISchedules"/>; one subclass for each implementation. Tests may share a broker that is not empty, so
/// each test uses its own topic.</summary>
public abstract class ScheduleConformance
{
    private static readonly TimeSpan Deadline = TimeSpan.FromMinutes(2);
    private readonly string _topic = "scheduled-" + Guid.NewGuid().ToString("N");

    /// <summary>The broker whose schedules are under test.</summary>
    protected abstract ValueTask<IBroker> BrokerAsync();

    [SkippableFact]
    public async Task Record_is_appended_whole_at_its_time_and_not_before()
    {
        var broker = await StartAsync();
        var at = DateTimeOffset.UtcNow.AddMilliseconds(700);
        var made = await broker.Schedules.CreateAsync(new NewSchedule(_topic)
        {
            At = at,
            Key = Bytes("k"),
            Value = new byte[] { 0, 255, 7 },
            Headers = [new RecordHeader(Bytes("h"), Bytes("x")), new RecordHeader(default, null)],
        });
        Assert.Equal((_topic, -1, 6L), (made.Topic, made.Partition, made.Bytes));
        var read = await WaitAsync(broker, 0, 1);
        Assert.True(DateTimeOffset.UtcNow >= at.AddMilliseconds(-1), "The record came early.");
        var (key, value, headers) = Assert.Single(read);
        Assert.Equal("k", Encoding.UTF8.GetString(key!));
        Assert.Equal([0, 255, 7], value!);
        Assert.Equal(["h", ""], headers.Select(header => Encoding.UTF8.GetString(header.Key.Span)));
        Assert.Equal("x", Encoding.UTF8.GetString(headers[0].Value!.Value.Span));
        Assert.Null(headers[1].Value);
        await UntilAsync(async () => await broker.Schedules.FindAsync(_topic, made.Id) is null, "the schedule is over");
        Assert.False(await broker.Schedules.CancelAsync(_topic, made.Id));
    }

    [SkippableFact]
    public async Task Schedule_is_found_listed_and_cancelled_by_its_topic_and_id()
    {
        var broker = await StartAsync();
        var other = _topic + ".other";
        await broker.CreateTopicAsync(new NewTopic(other, 1));
        var at = new DateTimeOffset(2090, 1, 2, 3, 4, 5, 678, TimeSpan.Zero);
        // An id may be anything.
        foreach (var id in (string[])["a", "b/c d?e=f&g%2F", "\u00fc\u4e2d\ud83d\ude00", "..."])
        {
            var made = await broker.Schedules.CreateAsync(new NewSchedule(_topic) { Id = id, At = at, Value = Bytes("v"), Partition = 0 });
            Assert.Equal((id, at, 0), (made.Id, made.At, made.Partition));
            await broker.Schedules.CreateAsync(new NewSchedule(other) { Id = id, At = at.AddDays(1) });
            Assert.Equal(made, await broker.Schedules.FindAsync(_topic, id));
            Assert.Equal(at.AddDays(1), (await broker.Schedules.FindAsync(other, id))?.At);
            Assert.True(await broker.Schedules.CancelAsync(_topic, id));
            Assert.False(await broker.Schedules.CancelAsync(_topic, id));
            Assert.Null(await broker.Schedules.FindAsync(_topic, id));
            Assert.NotNull(await broker.Schedules.FindAsync(other, id));
        }
        for (var i = 9; i > 0; i--)
            await broker.Schedules.CreateAsync(new NewSchedule(_topic) { Id = $"{i}", At = at.AddMinutes(i) });
        Assert.Equal(Enumerable.Range(1, 9).Select(i => $"{i}"), (await ListAsync(broker, _topic, 4)).Select(schedule => schedule.Id));
        Assert.Equal(4, (await ListAsync(broker, other, 1_000)).Count);
        Assert.True((await ListAsync(broker, null, 1_000)).Count >= 13);
    }

    [SkippableFact]
    public async Task Repeated_call_is_one_schedule_and_another_time_is_refused()
    {
        var broker = await StartAsync();
        var schedule = new NewSchedule(_topic) { Id = "x", At = DateTimeOffset.UtcNow.AddSeconds(2), Value = Bytes("v") };
        var made = await Task.WhenAll(Enumerable.Range(0, 5).Select(_ => broker.Schedules.CreateAsync(schedule).AsTask()));
        Assert.All(made, one => Assert.Equal("x", one.Id));
        // One that still waits: the id of an appended schedule is free.
        var far = schedule with { Id = "far", At = schedule.At.AddDays(1) };
        await broker.Schedules.CreateAsync(far);
        Assert.Equal(ErrorCode.InvalidRequest, await ErrorOf(() => broker.Schedules.CreateAsync(far with { At = far.At.AddHours(1) })));
        // What is due last shows that nothing comes between. Another partition of the schedules may be a moment behind.
        await broker.Schedules.CreateAsync(schedule with { Id = "y", At = schedule.At.AddMilliseconds(500), Value = Bytes("end") });
        Assert.Equal(["end", "v"], (await WaitAsync(broker, 0, 2)).Select(record => Encoding.UTF8.GetString(record.Value!)).Order());
    }

    [SkippableFact]
    public async Task Repeating_schedule_appends_its_record_again_and_again_until_it_is_cancelled()
    {
        var broker = await StartAsync();
        var schedule = new NewSchedule(_topic) { Id = "x", Cron = "* * * * * *", TimeZone = "Europe/Berlin", Key = Bytes("k"),
            Value = Bytes("v") };
        var made = await broker.Schedules.CreateAsync(schedule);
        Assert.Equal(("x", "* * * * * *", "Europe/Berlin", 0), (made.Id, made.Cron, made.TimeZone, made.At.Millisecond));
        var first = await WaitAsync(broker, 0, 3);
        Assert.All(first, record =>
            Assert.Equal(("k", "v"), (Encoding.UTF8.GetString(record.Key!), Encoding.UTF8.GetString(record.Value!))));
        // The same one, though firings later; and not another.
        Assert.True((await broker.Schedules.CreateAsync(schedule)).At > made.At);
        Assert.Equal(ErrorCode.InvalidRequest, await ErrorOf(() => broker.Schedules.CreateAsync(schedule with { TimeZone = null })));
        var found = (await broker.Schedules.FindAsync(_topic, "x"))!;
        Assert.Equal(("* * * * * *", "Europe/Berlin"), (found.Cron, found.TimeZone));
        Assert.Equal("* * * * * *", Assert.Single(await ListAsync(broker, _topic, 100)).Cron);
        Assert.True(await broker.Schedules.CancelAsync(_topic, "x"));
        Assert.Null(await broker.Schedules.FindAsync(_topic, "x"));
        Assert.False(await broker.Schedules.CancelAsync(_topic, "x"));
        // What comes last shows that nothing comes before.
        await broker.Schedules.CreateAsync(new NewSchedule(_topic) { At = DateTimeOffset.UtcNow.AddSeconds(3), Value = Bytes("end") });
        var count = first.Count;
        await UntilAsync(async () => Encoding.UTF8.GetString((await WaitAsync(broker, 0, count))[^1].Value!) == "end", "the end");
        Assert.InRange((await WaitAsync(broker, 0, count)).Count, count + 1, count + 30);
        var yearly = await broker.Schedules.CreateAsync(schedule with { Cron = "0 9 29 2 *", TimeZone = null,
            At = new DateTimeOffset(2090, 1, 1, 0, 0, 0, TimeSpan.Zero) });
        Assert.Equal((new DateTimeOffset(2092, 2, 29, 9, 0, 0, TimeSpan.Zero), "UTC"), (yearly.At, yearly.TimeZone));
    }

    [SkippableFact]
    public async Task Bad_requests_are_refused()
    {
        var broker = await StartAsync();
        var good = new NewSchedule(_topic) { At = DateTimeOffset.UtcNow.AddHours(1) };
        (NewSchedule Schedule, ErrorCode Error)[] bad =
        [
            (good with { Topic = "none-" + _topic }, ErrorCode.UnknownTopicOrPartition),
            (good with { Partition = 1 }, ErrorCode.UnknownTopicOrPartition),
            (good with { Partition = -2 }, ErrorCode.InvalidRequest),
            (good with { Id = "" }, ErrorCode.InvalidRequest),
            (good with { Id = new string('x', NewSchedule.MaxIdLength + 1) }, ErrorCode.InvalidRequest),
            (good with { At = DateTimeOffset.UtcNow + NewSchedule.MaxAhead + TimeSpan.FromDays(1) }, ErrorCode.InvalidRequest),
            (good with { Value = new byte[NewSchedule.MaxBytes + 1] }, ErrorCode.MessageTooLarge),
            (good with { Cron = "every day" }, ErrorCode.InvalidRequest),
            (good with { Cron = "0 0 30 2 *" }, ErrorCode.InvalidRequest),
            (good with { Cron = "* * * * *", TimeZone = "Mars/Olympus" }, ErrorCode.InvalidRequest),
            (good with { TimeZone = "Europe/Berlin" }, ErrorCode.InvalidRequest),
            (good with { Cron = "* * * * *", Value = new byte[NewSchedule.MaxRepeatedBytes + 1] }, ErrorCode.MessageTooLarge),
        ];
        foreach (var (schedule, error) in bad)
            Assert.Equal(error, await ErrorOf(() => broker.Schedules.CreateAsync(schedule)));
        Assert.Equal(ErrorCode.UnknownTopicOrPartition, await ErrorOf(() => broker.Schedules.FindAsync("none-" + _topic, "x")));
        Assert.Equal(ErrorCode.UnknownTopicOrPartition, await ErrorOf(() => broker.Schedules.CancelAsync("none-" + _topic, "x")));
        Assert.Equal(ErrorCode.InvalidRequest, await ErrorOf(() => broker.Schedules.ListAsync(new ScheduleQuery { After = "x" })));
        Assert.Equal(ErrorCode.InvalidRequest, await ErrorOf(() => broker.Schedules.ListAsync(new ScheduleQuery { MaxCount = 1_001 })));
        Assert.Empty(await ListAsync(broker, _topic, 100));
    }

    private async Task<IBroker> StartAsync()
    {
        var broker = await BrokerAsync();
        await broker.CreateTopicAsync(new NewTopic(_topic, 1));
        return broker;
    }

    private static async Task<List<ScheduleDescription>> ListAsync(IBroker broker, string? topic, int page)
    {
        var listed = new List<ScheduleDescription>();
        var next = new SchedulePage([], null);
        do
        {
            next = await broker.Schedules.ListAsync(new ScheduleQuery { Topic = topic, MaxCount = page, After = next.Next });
            listed.AddRange(next.Schedules);
        }
        while (next.Next is not null);
        return listed;
    }

    private async Task<List<(byte[]? Key, byte[]? Value, IReadOnlyList<RecordHeader> Headers)>> WaitAsync(IBroker broker, int partition,
        int count)
    {
        var read = new List<(byte[]?, byte[]?, IReadOnlyList<RecordHeader>)>();
        await UntilAsync(async () =>
        {
            read.Clear();
            using var fetched = await broker.FetchAsync(new FetchRequest(new TopicPartition(_topic, partition), 0));
            using var reader = new RecordReader(fetched.Records, CompressionCodecs.Empty);
            while (reader.MoveNext())
            {
                // Copied: the memory is the fetch's.
                RecordHeader[] headers = [.. reader.Current.ReadHeaders().Select(header =>
                    new RecordHeader(header.Key.ToArray(), header.Value is { } some ? some.ToArray() : (ReadOnlyMemory<byte>?)null))];
                read.Add((Copy(reader.Current.Key), Copy(reader.Current.Value), headers));
            }
            return read.Count >= count;
        }, $"{count} records");
        return read;
    }

    private static async Task UntilAsync(Func<Task<bool>> condition, string what)
    {
        var watch = Stopwatch.StartNew();
        while (!await condition())
        {
            Assert.True(watch.Elapsed < Deadline, $"Not within {Deadline}: {what}.");
            await Task.Delay(10);
        }
    }

    private static async Task<ErrorCode> ErrorOf<T>(Func<ValueTask<T>> call) =>
        (await Assert.ThrowsAsync<BrokerException>(async () => await call())).Code;

    private static byte[]? Copy(ReadOnlyMemory<byte>? bytes) => bytes?.ToArray();

    private static byte[] Bytes(string text) => Encoding.UTF8.GetBytes(text);
}
