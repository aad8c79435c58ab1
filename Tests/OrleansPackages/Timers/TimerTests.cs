using System.Text;
using Microsoft.Extensions.DependencyInjection;
using OrleansMq.Api;
using OrleansMq.Client;
using OrleansMq.Tests.OrleansPackages.Consumers;
using OrleansMq.Tests.Shared;
using OrleansMq.Timers;
using Letter = (string? Key, string? Value, string Reason);

namespace OrleansMq.Tests.OrleansPackages.Timers;

/// <summary>Durable timers on one silo: which messages come, when, and what becomes of those that fail or are cancelled.</summary>
public sealed class TimerTests : IAsyncLifetime
{
    private const string Topic = "grain-timers";

    private readonly TempDirectory _data = new();
    private TestSilo? _silo;
    private int _maxAttempts = 3;

    private IDurableTimers Timers => _silo!.Services.GetRequiredService<IDurableTimers>();

    public Task InitializeAsync() => StartAsync();

    public async Task DisposeAsync()
    {
        await _silo!.DisposeAsync();
        _data.Dispose();
    }

    [Fact]
    public async Task Message_activates_its_grain_when_it_is_due_and_not_before_with_its_facts()
    {
        var at = Soon(300);
        var timer = await Timers.ScheduleAsync(Grain("facts"), at, new Ping(7), "first");
        Assert.Equal(("first", at, Grain("facts").GetGrainId()), (timer.Id, timer.Due, timer.Grain));
        await ReceivedAsync("facts", 7);
        var call = TimerScript.Calls("facts").Single();
        Assert.Equal(("first", at, 1, false), (call.Timer.Id, call.Timer.Due, call.Timer.Attempt, call.Timer.IsRedelivered));
        Assert.InRange(call.Timer.FiredAt, at, call.At);
        Assert.Null(call.Timer.Cron);
        // A grain schedules for itself, by an Orleans client's call, and is activated anew.
        await _silo!.DeactivateAsync(Grain("facts"));
        await _silo.Client.GetGrain<ITimedGrain>("facts").ScheduleAsync(Soon(50), 8, "second");
        await ReceivedAsync("facts", 7, 8);
        Assert.NotSame(call.Grain, TimerScript.Calls("facts")[1].Grain);
    }

    [Fact]
    public async Task Client_outside_of_the_silos_schedules_finds_lists_and_cancels()
    {
        var timers = _silo!.Client.ServiceProvider.GetRequiredService<IDurableTimers>();
        var grain = _silo.Client.GetGrain<ITimedGrain>("outside");
        var far = DateTimeOffset.UtcNow.AddDays(400);
        await timers.ScheduleAsync(grain, Soon(50), new Ping(1));
        await timers.ScheduleAsync(grain, far, new Pong("later"), "a@b %40");
        await timers.ScheduleCronAsync(_silo.Client.GetGrain<ITimedGrain>("outside-2"), "0 9 1 1 *", new Ping(2), "yearly",
            "Europe/Berlin");
        await ReceivedAsync("outside", 1);
        var found = await timers.FindAsync(grain, "a@b %40");
        Assert.Equal(("a@b %40", grain.GetGrainId()), (found!.Id, found.Grain));
        Assert.InRange(found.Due, far, far.AddMilliseconds(1));
        Assert.Null(await timers.FindAsync(grain, "other"));
        Assert.Equal([found], await timers.ListAsync(grain).ToListAsync());
        Assert.Equal(["a@b %40", "yearly"], (await timers.ListAsync().ToListAsync()).Select(static one => one.Id).Order());
        var yearly = (await timers.ListAsync().ToListAsync()).Single(static one => one.Id == "yearly");
        Assert.Equal(("0 9 1 1 *", "Europe/Berlin"), (yearly.Cron, yearly.TimeZone));
        Assert.True(await timers.CancelAsync(grain, "a@b %40"));
        Assert.False(await timers.CancelAsync(grain, "a@b %40"));
        Assert.Null(await timers.FindAsync(grain, "a@b %40"));
    }

    [Fact]
    public async Task Timer_that_is_cancelled_never_comes_and_one_that_has_come_is_too_late_to_cancel()
    {
        // The topics are made on first use.
        await Timers.ScheduleAsync(Grain("cancel"), DateTimeOffset.UtcNow.AddDays(1), new Ping(-1), "far");
        Assert.True(await Timers.CancelAsync(Grain("cancel"), "far"));
        var at = Soon(10_000);
        await Task.WhenAll(Enumerable.Range(0, 20).Select(number =>
            Timers.ScheduleAsync(Grain("cancel"), at, new Ping(number), $"{number}")));
        var cancelled = new List<int>();
        for (var number = 0; number < 20; number += 2)
        {
            if (await Timers.CancelAsync(Grain("cancel"), $"{number}"))
                cancelled.Add(number);
        }
        Assert.NotEmpty(cancelled);
        await Timers.ScheduleAsync(Grain("cancel"), Later(at, 100), new Ping(100), "last");
        // Schedules are in several partitions: one that is due later may come first.
        var expected = Enumerable.Range(0, 20).Except(cancelled).Append(100).ToArray();
        await Wait.UntilAsync(() => TimerScript.Received("cancel").Length >= expected.Length, "all that were not cancelled");
        Assert.Equal(expected, TimerScript.Received("cancel").Order());
        Assert.False(await Timers.CancelAsync(Grain("cancel"), "1"));
        Assert.False(await Timers.CancelAsync(Grain("cancel"), "never"));
        // An id belongs to one grain.
        await Timers.ScheduleAsync(Grain("cancel"), DateTimeOffset.UtcNow.AddDays(1), new Ping(1), "own");
        Assert.False(await Timers.CancelAsync(Grain("cancel-other"), "own"));
        Assert.True(await Timers.CancelAsync(Grain("cancel"), "own"));
    }

    [Fact]
    public async Task Same_call_again_is_one_timer_and_another_for_its_id_is_refused()
    {
        var at = Soon(2_000);
        await Timers.ScheduleAsync(Grain("same"), at, new Ping(1), "id");
        await Timers.ScheduleAsync(Grain("same"), at, new Ping(1), "id");
        // One that still waits: the id of a timer that has come is free.
        var far = Later(at, 86_400_000);
        await Timers.ScheduleAsync(Grain("same"), far, new Ping(1), "far");
        foreach (var (time, number) in ((DateTimeOffset, int)[])[(far.AddHours(1), 1), (far, 2)])
        {
            var refused = await Assert.ThrowsAsync<BrokerException>(() =>
                Timers.ScheduleAsync(Grain("same"), time, new Ping(number), "far"));
            Assert.Equal(ErrorCode.InvalidRequest, refused.Code);
        }
        await ReceivedAsync("same", 1);
        await Timers.ScheduleAsync(Grain("same"), Soon(0), new Ping(3), "last");
        await ReceivedAsync("same", 1, 3);
        // It is remembered for a while after it has come.
        await Timers.ScheduleAsync(Grain("same"), at, new Ping(1), "id");
        await Timers.ScheduleAsync(Grain("same"), Soon(50), new Ping(4), "id");
        await ReceivedAsync("same", 1, 3, 4);
    }

    [Fact]
    public async Task Timer_that_repeats_comes_at_each_time_until_it_is_cancelled()
    {
        await Timers.ScheduleCronAsync(Grain("cron"), "* * * * * *", new Ping(1), "tick");
        await Timers.ScheduleCronAsync(Grain("cron"), "* * * * * *", new Ping(1), "tick");
        await Wait.UntilAsync(() => TimerScript.Received("cron").Length >= 3, "three firings");
        Assert.True(await Timers.CancelAsync(Grain("cron"), "tick"));
        Assert.Null(await Timers.FindAsync(Grain("cron"), "tick"));
        // One that was on its way comes long before a timer of four seconds later.
        await Timers.ScheduleAsync(Grain("cron"), Soon(4_000), new Ping(9));
        await Wait.UntilAsync(() => TimerScript.Received("cron").Contains(9), "the last one");
        var fired = TimerScript.Calls("cron").Where(static call => call.Number == 1).Select(static call => call.Timer).ToArray();
        Assert.All(fired, static timer => Assert.Equal((0, "* * * * * *", "tick"), (timer.Due.Millisecond, timer.Cron, timer.Id)));
        Assert.All(fired, static timer => Assert.InRange(timer.FiredAt, timer.Due, timer.Due.AddSeconds(1)));
        Assert.True(TimerScript.Calls("cron")[^1].Timer.FiredAt - fired[^1].Due > TimeSpan.FromSeconds(2), "It fired after its end.");
    }

    [Fact]
    public async Task Message_that_fails_comes_again_and_is_dead_lettered_with_its_cause_and_later_ones_go_on()
    {
        var attempts = new List<(int, bool)>();
        TimerScript.On("fails", call =>
        {
            if (call.Number != 1)
                return Task.CompletedTask;
            attempts.Add((call.Timer.Attempt, call.Timer.IsRedelivered));
            throw new InvalidOperationException($"attempt {call.Timer.Attempt}");
        });
        var at = Soon(100);
        await Timers.ScheduleAsync(Grain("fails"), at, new Ping(1));
        await Timers.ScheduleAsync(Grain("fails"), Later(at, 100), new Ping(2));
        await ReceivedAsync("fails", 2);
        var letter = Assert.Single(await LettersAsync(1));
        Assert.Equal((Grain("fails").GetGrainId().ToString(), """{"number":1}"""), (letter.Key, letter.Value));
        Assert.Contains("attempt 3", letter.Reason, StringComparison.Ordinal);
        Assert.Contains($"Grain {Grain("fails").GetGrainId()}, timers of topic {Topic}", letter.Reason, StringComparison.Ordinal);
        Assert.Equal([(1, false), (2, true), (3, true)], attempts);
    }

    [Fact]
    public async Task Timers_of_one_grain_come_one_at_a_time_in_the_order_in_which_they_fired()
    {
        var running = 0;
        TimerScript.On("order", async call =>
        {
            Assert.Equal(1, Interlocked.Increment(ref running));
            await Task.Yield();
            Interlocked.Decrement(ref running);
        });
        var begin = Soon(500);
        await Task.WhenAll(Enumerable.Range(0, 100).Select(number =>
            Timers.ScheduleAsync(Grain("order"), begin.AddMilliseconds(number * 10), new Ping(number))));
        await Wait.UntilAsync(() => TimerScript.Received("order").Length >= 100, "all");
        // Each is appended by the partition of schedules that its id belongs to: those of nearby times may be in another order.
        var received = TimerScript.Calls("order");
        Assert.Equal(Enumerable.Range(0, 100), received.Select(static call => call.Number).Order());
        Assert.Equal(received.Select(static call => call.Timer.Position.Offset).Order(),
            received.Select(static call => call.Timer.Position.Offset));
    }

    [Fact]
    public async Task Effect_in_grain_state_happens_once_where_writes_fail_before_and_after_they_are_stored()
    {
        var writes = 0;
        var grain = _silo!.Client.GetGrain<ITimedTallyGrain>("timed-once");
        SharedStorage.FailingOf[grain.GetGrainId()] = () => (Interlocked.Increment(ref writes) % 3) switch
        {
            0 => (new IOException("before"), null),
            1 => (null, new IOException("after")),
            _ => default,
        };
        var begin = Soon(100);
        await Task.WhenAll(Enumerable.Range(0, 30).Select(number =>
            Timers.ScheduleAsync(grain, begin.AddMilliseconds(number), new Ping(number))));
        await Wait.UntilAsync(() => TimerScript.Received("timed-once").Distinct().Count() == 30, "all are received");
        await Wait.UntilAsync(async () => (await grain.GetAsync()).Length >= 30, "every effect is in the state");
        Assert.True(TimerScript.Received("timed-once").Length > 30, "No write has failed.");
        await _silo.DeactivateAsync(grain);
        Assert.Equal(Enumerable.Range(0, 30), (await grain.GetAsync()).Order());
    }

    [Fact]
    public async Task Message_that_its_grain_does_not_handle_is_refused_when_it_is_scheduled()
    {
        var refused = await Assert.ThrowsAsync<ArgumentException>(() =>
            Timers.ScheduleAsync(Grain("refused"), DateTimeOffset.UtcNow, new Unhandled(1)));
        Assert.Contains("IDurableTimerHandler<Unhandled>", refused.Message, StringComparison.Ordinal);
        var client = _silo!.Client.ServiceProvider.GetRequiredService<IDurableTimers>();
        await Assert.ThrowsAsync<ArgumentException>(() => client.ScheduleAsync(Grain("refused"), DateTimeOffset.UtcNow, new Unhandled(1)));
        var unknown = await Assert.ThrowsAsync<ArgumentException>(() => Timers.ScheduleAsync(
            _silo.Client.GetGrain(GrainId.Create("nobody", "k")), DateTimeOffset.UtcNow, new Ping(1)));
        Assert.Contains("No silo has the grain class of nobody/k", unknown.Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Record_that_no_grain_handles_is_dead_lettered_with_the_reason()
    {
        await Timers.ScheduleAsync(Grain("unfit"), Soon(0), new Ping(1));
        await ReceivedAsync("unfit", 1);
        await SendAsync("nobody/k", "test-ping", """{"number":2}""");
        await SendAsync("no grain", "test-ping", """{"number":3}""");
        await SendAsync("timed/unfit", "renamed", """{"number":4}""");
        await SendAsync("timed/unfit", "test-ping", "no json");
        await SendAsync("timed/unfit-2", null, """{"number":6}""");
        await SendAsync(null, "test-ping", """{"number":7}""");
        var letters = (await LettersAsync(6)).ToDictionary(static letter => (letter.Key, letter.Value), static letter => letter.Reason);
        Says("nobody/k", """{"number":2}""", "No silo has had the grain class nobody");
        Says("no grain", """{"number":3}""", "names no grain");
        Says("timed/unfit", """{"number":4}""", "No silo handles messages 'renamed'");
        Says("timed/unfit", "no json", "The value is none that the class consumes");
        Says("timed/unfit-2", """{"number":6}""", "no header 'timer-type'");
        Says(null, """{"number":7}""", "has no key");

        void Says(string? key, string value, string reason) => Assert.Contains(reason, letters[(key, value)], StringComparison.Ordinal);
    }

    [Fact]
    public async Task Timer_for_a_key_that_its_class_cannot_have_is_refused_and_its_record_is_dead_lettered_at_once()
    {
        var refused = await Assert.ThrowsAsync<ArgumentException>(() => Timers.ScheduleAsync(
            _silo!.Client.GetGrain(GrainId.Create("timednumber", "no-number")), DateTimeOffset.UtcNow, new Ping(1)));
        Assert.Contains("implements IGrainWithIntegerKey", refused.Message, StringComparison.Ordinal);
        await Timers.ScheduleAsync(_silo!.Client.GetGrain<ITimedNumberGrain>(31), Soon(0), new Ping(2));
        await ReceivedAsync("31", 2);
        await SendAsync("timednumber/no-number", "test-ping", """{"number":3}""");
        var letter = Assert.Single(await LettersAsync(1));
        Assert.Equal("timednumber/no-number", letter.Key);
        Assert.Contains("implements IGrainWithIntegerKey", letter.Reason, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Topic_that_was_made_by_other_means_gets_the_settings_that_timers_need()
    {
        await CreateAsync(Topic, ("retention.until.settled", "true"));
        await CreateAsync(Topic + ".dead-letter");
        TimerScript.On("settings", static call => call.Number == 1 ? throw new InvalidOperationException("never") : Task.CompletedTask);
        await Timers.ScheduleAsync(Grain("settings"), Soon(0), new Ping(1));
        // The call is answered when a message that fires is flushed.
        Assert.Equal(("true", "1", "1"), await SettingsAsync());
        Assert.Equal("""{"number":1}""", Assert.Single(await LettersAsync(1)).Value);

        await _silo!.Inside.DeleteTopicAsync(Topic);
        await CreateAsync(Topic, ("flush.messages", "1000"));
        await Wait.UntilAsync(async () => await SettingsAsync() == ("true", "1", "1"), "a silo alters the topic without a call");
        await Timers.ScheduleAsync(Grain("settings"), Soon(0), new Ping(2));
        await Wait.UntilAsync(() => TimerScript.Received("settings").Contains(2), "a message of the next topic");

        async Task<(string Retention, string Flush, string LettersFlush)> SettingsAsync() => (await ConfigAsync(Topic,
            "retention.until.settled"), await ConfigAsync(Topic, "flush.messages"), await ConfigAsync(Topic + ".dead-letter",
            "flush.messages"));

        async Task<string> ConfigAsync(string topic, string name) => (await _silo!.Inside.DescribeTopicAsync(topic)).Configs
            .Single(config => config.Name == name).Value;

        async Task CreateAsync(string topic, params (string Name, string Value)[] configs) => await _silo!.Inside.CreateTopicAsync(
            new NewTopic(topic, 1, 1) { Configs = configs.ToDictionary(static config => config.Name, static config => config.Value) });
    }

    [Fact]
    public async Task Topic_that_a_client_may_not_alter_is_used_as_it_is()
    {
        await Timers.ScheduleAsync(Grain("unaltered"), Soon(0), new Ping(1));
        await _silo!.Inside.AlterTopicAsync(Topic, new Dictionary<string, string?> { ["flush.messages"] = null });
        var topics = new TimerTopics(new OrleansMqClient(new Unalterable(_silo.Inside)), Configured(new OrleansMqTimerOptions()));
        await topics.CreateAsync();
        var refused = await Assert.ThrowsAsync<BrokerException>(() => topics.KeepSettingsAsync(CancellationToken.None));
        Assert.Equal(ErrorCode.TopicAuthorizationFailed, refused.Code);
    }

    private sealed class Unalterable(IBroker inner) : ForwardingBroker(inner)
    {
        public override ValueTask<TopicDescription> AlterTopicAsync(string topic, IReadOnlyDictionary<string, string?> configs,
            CancellationToken cancellationToken = default) =>
            throw new BrokerException(ErrorCode.TopicAuthorizationFailed, $"'{topic}' must not be altered.");
    }

    [Fact]
    public async Task Timers_and_messages_that_are_due_survive_a_restart_of_the_silo()
    {
        await _silo!.DisposeAsync();
        _maxAttempts = 1_000;
        await StartAsync();
        var (attempts, isMended) = (0, false);
        TimerScript.On("restart", call => call.Number != 1 || isMended ? Task.CompletedTask
            : throw new InvalidOperationException($"attempt {Interlocked.Increment(ref attempts)}"));
        await Timers.ScheduleAsync(Grain("restart"), Soon(0), new Ping(1));
        await Timers.ScheduleAsync(Grain("restart"), Soon(1_500), new Ping(2));
        await Wait.UntilAsync(() => Volatile.Read(ref attempts) > 0, "an attempt");
        await _silo.DisposeAsync();
        isMended = true;
        await StartAsync();
        await ReceivedAsync("restart", 1, 2);
    }

    private async Task StartAsync()
    {
        _silo = await TestSilo.StartAsync(_data.Path, silo =>
        {
            SharedStorage.AddTo(silo);
            silo.AddOrleansMqTimers(Configured);
        }, client => client.AddOrleansMqTimers(Configured));
    }

    private OrleansMqTimerOptions Configured(OrleansMqTimerOptions options) => options with
    {
        Partitions = 1,
        MaxAttempts = _maxAttempts,
        RetryDelay = TimeSpan.FromMilliseconds(10),
        RefreshInterval = TimeSpan.FromMilliseconds(50),
        MissingClassTimeout = TimeSpan.FromMilliseconds(200),
    };

    private ITimedGrain Grain(string key) => _silo!.Services.GetRequiredService<IGrainFactory>().GetGrain<ITimedGrain>(key);

    private static DateTimeOffset Soon(int milliseconds) =>
        DateTimeOffset.FromUnixTimeMilliseconds(DateTimeOffset.UtcNow.ToUnixTimeMilliseconds() + milliseconds);

    // Behind a time, and behind now.
    private static DateTimeOffset Later(DateTimeOffset at, int milliseconds) =>
        (at > Soon(0) ? at : Soon(0)).AddMilliseconds(milliseconds);

    private static async Task ReceivedAsync(string key, params int[] expected)
    {
        await Wait.UntilAsync(() => TimerScript.Received(key).Length >= expected.Length, $"{expected.Length} messages of {key}");
        Assert.Equal(expected, TimerScript.Received(key));
    }

    private async Task SendAsync(string? key, string? type, string value)
    {
        await using var producer = new OrleansMqClient(_silo!.Inside).CreateProducer<string?, string>();
        await producer.SendAsync(new(Topic, key, value)
        {
            Headers = type is null ? ReadOnlyMemory<RecordHeader>.Empty : new[] { RecordHeaders.Text("timer-type", type) },
        });
    }

    private async Task<Letter[]> LettersAsync(int count)
    {
        await using var reader = new OrleansMqClient(_silo!.Inside).CreatePartitionReader<string?, string?>();
        reader.Assign(new TopicPartition(Topic + ".dead-letter", 0), ReadFrom.Earliest);
        var letters = new List<Letter>();
        using var deadline = new CancellationTokenSource(Wait.Deadline);
        while (letters.Count < count)
        {
            var read = await reader.ReadAsync(deadline.Token);
            letters.Add((read.Key, read.Value, Encoding.UTF8.GetString(read.Headers.Single(static header =>
                Encoding.UTF8.GetString(header.Key.Span) == DeadLetterHeaders.Reason).Value!.Value.Span)));
        }
        return [.. letters];
    }
}
