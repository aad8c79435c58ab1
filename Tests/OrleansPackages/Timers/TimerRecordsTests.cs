using OrleansMq.Api;
using OrleansMq.Timers;

namespace OrleansMq.Tests.OrleansPackages.Timers;

/// <summary>Ids, keys and times of timers, and what classes handle; pure.</summary>
public sealed class TimerRecordsTests
{
    [Theory]
    [InlineData("closing", "order/42", "closing@order/42")]
    [InlineData("a@b%", "order/x@y", "a%40b%25@order/x@y")]
    [InlineData("%40", "order/1", "%2540@order/1")]
    public void Id_of_a_schedule_says_timer_and_grain(string id, string grain, string schedule)
    {
        Assert.Equal(schedule, TimerIds.ScheduleOf(GrainId.Parse(grain, null), id));
        Assert.True(TimerIds.TryRead(schedule, out var read, out var of));
        Assert.Equal((id, grain), (read, of.ToString()));
    }

    [Fact]
    public void Grain_without_a_name_that_fits_stands_by_its_hash()
    {
        var schedules = new HashSet<string>();
        foreach (var key in (byte[][])[[.. Enumerable.Repeat((byte)'k', 900)], [.. Enumerable.Repeat((byte)'k', 901)], [0xC3], [0xC4], [1]])
        {
            var schedule = TimerIds.ScheduleOf(GrainId.Create(GrainType.Create("order"), new IdSpan(key)), new string('i', 120));
            Assert.InRange(schedule.Length, 1, NewSchedule.MaxIdLength);
            Assert.True(TimerIds.TryRead(schedule, out var id, out var grain));
            Assert.Equal((new string('i', 120), null), (id, grain));
            Assert.True(schedules.Add(schedule));
        }
        Assert.StartsWith("id@#", TimerIds.ScheduleOf(GrainId.Create("#order", "1"), "id"), StringComparison.Ordinal);
    }

    [Fact]
    public void Id_out_of_its_range_is_refused()
    {
        var grain = GrainId.Create("order", "1");
        foreach (var id in (string[])["", new('i', 121), new('@', 60)])
            Assert.Throws<ArgumentException>(() => TimerIds.ScheduleOf(grain, id));
        Assert.False(TimerIds.TryRead("other", out _, out _));
        Assert.False(TimerIds.TryRead("@order/1", out _, out _));
        // Schedules of others in the topic.
        foreach (var foreign in (string[])[new('x', 150), new('x', 121), "%", "a%40%", string.Concat(Enumerable.Repeat("%40", 60))])
            Assert.False(TimerIds.TryRead($"{foreign}@order/1", out _, out _), foreign);
    }

    [Fact]
    public void Grain_that_the_key_of_a_record_cannot_say_is_not_written()
    {
        Assert.Null(TimerRecords.WhyNotWritable(GrainId.Create("order", new string('k', 1_024))));
        Assert.Contains("'/'", TimerRecords.WhyNotWritable(GrainId.Create("shop/order", "1")), StringComparison.Ordinal);
        Assert.Contains("256", TimerRecords.WhyNotWritable(GrainId.Create(new string('t', 257), "1")), StringComparison.Ordinal);
        Assert.Contains("1,025 bytes", TimerRecords.WhyNotWritable(GrainId.Create("order", new string('k', 1_025))),
            StringComparison.Ordinal);
        Assert.Contains("U+0000", TimerRecords.WhyNotWritable(GrainId.Create("order", "a\0")), StringComparison.Ordinal);
    }

    [Fact]
    public void Key_of_a_record_is_its_grain()
    {
        var grain = GrainId.Create(GrainType.Create("order"), new IdSpan([0xC3, (byte)'/', 1]));
        Assert.True(TimerRecords.TryReadKey(TimerRecords.KeyOf(grain), out var read));
        Assert.Equal(grain, read);
        foreach (var none in (string[])["", "/", "order", "order/", "/1", "sys.client/1", "order/a\0",
            $"{new string('t', 257)}/1", $"order/{new string('k', 1_025)}"])
            Assert.False(TimerRecords.TryReadKey(System.Text.Encoding.UTF8.GetBytes(none), out _), none);
    }

    [Theory]
    [InlineData("* * * * * *", "2026-05-01T10:00:00.750Z", "2026-05-01T10:00:00Z")]
    [InlineData("0 9 * * *", "2026-05-01T09:00:00Z", "2026-05-01T09:00:00Z")]
    [InlineData("0 9 * * *", "2026-05-01T08:59:59.999Z", "2026-04-30T09:00:00Z")]
    [InlineData("0 0 29 2 *", "2026-05-01T00:00:00Z", "2024-02-29T00:00:00Z")]
    [InlineData("* * * * 1-5 *", "2026-12-15T00:00:00Z", "2026-05-31T23:59:59Z")]
    public void Last_time_of_an_expression_is_at_or_before_the_firing(string cron, string at, string due) =>
        Assert.Equal(Milliseconds(due), TimerRecords.LastDue(cron, "UTC", Milliseconds(at)));

    [Fact]
    public void Zone_that_is_not_known_here_leaves_the_time_of_the_firing() =>
        Assert.Equal(1_000, TimerRecords.LastDue("0 9 * * *", "No/Where", 1_000));

    [Fact]
    public void Time_is_rounded_up_to_a_millisecond()
    {
        Assert.Equal(5, TimerRecords.MillisecondsOf(DateTimeOffset.UnixEpoch.AddMilliseconds(5)));
        Assert.Equal(6, TimerRecords.MillisecondsOf(DateTimeOffset.UnixEpoch.AddMilliseconds(5).AddTicks(1)));
        Assert.Equal(DateTimeOffset.MaxValue.ToUnixTimeMilliseconds(), TimerRecords.MillisecondsOf(DateTimeOffset.MaxValue));
    }

    [Fact]
    public void Class_publishes_the_messages_that_it_handles()
    {
        var properties = new Dictionary<string, string>();
        new TimerProperties().Populate(typeof(TimedGrain), GrainType.Create("timed"), properties);
        Assert.Equal(["omq.timer-key", "omq.timer.OrleansMq.Tests.OrleansPackages.Timers.Pong", "omq.timer.test-ping"],
            properties.Keys.Order());
    }

    [Fact]
    public void Class_that_cannot_handle_timers_is_refused_by_name_with_what_to_do()
    {
        var worker = Assert.Throws<OrleansConfigurationException>(() => TimerHandlers.MessagesOf(typeof(Worker)));
        Assert.Contains("[StatelessWorker]", worker.Message, StringComparison.Ordinal);
        var twice = Assert.Throws<OrleansConfigurationException>(() => TimerHandlers.MessagesOf(typeof(Twice)));
        Assert.Contains("stored as 'OrleansMq.Tests.OrleansPackages.Timers.Pong'", twice.Message, StringComparison.Ordinal);
        Assert.Contains(nameof(Twice), twice.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Option_out_of_range_is_refused_by_name()
    {
        var options = new OrleansMqTimerOptions();
        options.Validate();
        foreach (var (wrong, name) in new (OrleansMqTimerOptions, string)[]
        {
            (options with { Topic = "a b" }, nameof(options.Topic)),
            (options with { Topic = "__schedules" }, nameof(options.Topic)),
            (options with { Partitions = 0 }, nameof(options.Partitions)),
            (options with { MaxAttempts = 1_001 }, nameof(options.MaxAttempts)),
            (options with { RetryDelay = TimeSpan.Zero }, nameof(options.RetryDelay)),
            (options with { MaxRetryDelay = TimeSpan.FromDays(2) }, nameof(options.MaxRetryDelay)),
            (options with { MaxInFlight = 0 }, nameof(options.MaxInFlight)),
            (options with { MaxBatch = 0 }, nameof(options.MaxBatch)),
            (options with { Credit = 0 }, nameof(options.Credit)),
            (options with { MissingClassTimeout = TimeSpan.Zero }, nameof(options.MissingClassTimeout)),
            (options with { SessionTimeout = TimeSpan.Zero }, nameof(options.SessionTimeout)),
            (options with { RefreshInterval = TimeSpan.Zero }, nameof(options.RefreshInterval)),
            (options with { Json = null! }, nameof(options.Json)),
        })
            Assert.Equal(name, Assert.Throws<ArgumentException>(wrong.Validate).ParamName);
    }

    private static long Milliseconds(string time) =>
        DateTimeOffset.Parse(time, System.Globalization.CultureInfo.InvariantCulture).ToUnixTimeMilliseconds();

    // No grains: no silo of a test has them.
    [Orleans.Concurrency.StatelessWorker]
    private sealed class Worker : IDurableTimerHandler<Ping>
    {
        public Task HandleTimerAsync(Ping message, FiredTimer timer, CancellationToken cancellationToken) => Task.CompletedTask;
    }

    private sealed class Twice : IDurableTimerHandler<Pong>, IDurableTimerHandler<OtherPong>
    {
        public Task HandleTimerAsync(Pong message, FiredTimer timer, CancellationToken cancellationToken) => Task.CompletedTask;

        public Task HandleTimerAsync(OtherPong message, FiredTimer timer, CancellationToken cancellationToken) => Task.CompletedTask;
    }
}

/// <summary>A message with the name of another one. Orleans refuses the same alias twice.</summary>
[Alias("OrleansMq.Tests.OrleansPackages.Timers.Pong")]
internal sealed record OtherPong;
