using System.Text;
using OrleansMq.Api;
using OrleansMq.Testing;

namespace OrleansMq.Tests.Client.EndToEnd;

/// <summary>Schedules by the clock of a test: a year takes a moment.</summary>
public sealed class TestBrokerScheduleTests
{
    // What the jump of a year interrupted is sent again, and is a duplicate as long as the topic has the record.
    private static readonly Dictionary<string, string> s_kept = new() { ["retention.ms"] = "-1" };

    [Fact]
    public async Task Record_that_is_due_in_a_year_is_appended_when_the_clock_has_jumped_there()
    {
        var clock = new ManualTimeProvider();
        await using var broker = await TestBroker.StartAsync(new TestBrokerOptions { TimeProvider = clock });
        await broker.Client.Admin.CreateTopicAsync("orders", partitions: 1, s_kept);
        var orders = new TopicPartition("orders", 0);
        var due = clock.GetUtcNow().AddDays(365);
        var schedules = broker.Client.Broker.Schedules;
        await schedules.CreateAsync(new NewSchedule("orders") { Id = "x", At = due, Value = Encoding.UTF8.GetBytes("a") });
        clock.Jump(TimeSpan.FromDays(365) - TimeSpan.FromMilliseconds(1));
        Assert.Equal(due, (await schedules.FindAsync("orders", "x"))?.At);
        Assert.Equal(0, (await broker.Broker.FindOffsetAsync(orders, OffsetSpec.Latest)).Offset);
        clock.Jump(TimeSpan.FromMilliseconds(1));
        // The broker's threads append it. The clock goes on meanwhile: what the jump timed out is tried again after a pause.
        using var patience = new CancellationTokenSource(TimeSpan.FromSeconds(30));
        while ((await broker.Broker.FindOffsetAsync(orders, OffsetSpec.Latest, patience.Token)).Offset == 0)
            await GoOnAsync(clock, patience.Token);
        using var fetched = await broker.Broker.FetchAsync(new FetchRequest(orders, 0));
        Assert.Equal(1, fetched.HighWatermark);
        var appended = DateTimeOffset.FromUnixTimeMilliseconds(Records.RecordBatchHeader.Read(fetched.Records.Span).MaxTimestamp);
        Assert.InRange(appended, due, clock.GetUtcNow());
    }

    [Fact]
    public async Task Record_that_repeats_each_year_is_appended_once_in_each_year_that_the_clock_jumps_over()
    {
        var clock = new ManualTimeProvider();
        await using var broker = await TestBroker.StartAsync(new TestBrokerOptions { TimeProvider = clock });
        await broker.Client.Admin.CreateTopicAsync("orders", partitions: 1, s_kept);
        var orders = new TopicPartition("orders", 0);
        var schedules = broker.Client.Broker.Schedules;
        await schedules.CreateAsync(new NewSchedule("orders") { Id = "x", Cron = "0 9 1 1 *", TimeZone = "Europe/Berlin" });
        using var patience = new CancellationTokenSource(TimeSpan.FromSeconds(30));
        for (var year = 0; year < 5; year++)
        {
            var due = (await schedules.FindAsync("orders", "x", patience.Token))!.At;
            Assert.Equal((1, 1, 8), (due.UtcDateTime.Month, due.UtcDateTime.Day, due.UtcDateTime.Hour));
            clock.Jump(due - clock.GetUtcNow());
            while ((await broker.Broker.FindOffsetAsync(orders, OffsetSpec.Latest, patience.Token)).Offset == year
                || (await schedules.FindAsync("orders", "x", patience.Token))!.At == due)
                await GoOnAsync(clock, patience.Token);
            Assert.Equal(year + 1, (await broker.Broker.FindOffsetAsync(orders, OffsetSpec.Latest, patience.Token)).Offset);
        }
        Assert.True(await schedules.CancelAsync("orders", "x", patience.Token));
    }

    private static Task GoOnAsync(ManualTimeProvider clock, CancellationToken cancellationToken)
    {
        clock.Advance(TimeSpan.FromMilliseconds(50));
        return Task.Delay(5, cancellationToken);
    }
}
