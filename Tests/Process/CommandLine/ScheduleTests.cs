using OrleansMq.Tests.Process.Running;

namespace OrleansMq.Tests.Process.CommandLine;

/// <summary><c>omq schedule</c> against a real broker.</summary>
public sealed class ScheduleTests(StandaloneBroker standalone) : IClassFixture<StandaloneBroker>
{
    [Fact]
    public async Task Schedule_is_created_listed_and_cancelled_and_a_due_one_is_consumed()
    {
        await OmqAsync("topic create timed");
        Assert.StartsWith("No schedules.", (await OmqAsync("schedule list timed")).Text, StringComparison.Ordinal);
        await OmqAsync("schedule create timed later --at 2090-01-01T00:00:00Z --id b --key k");
        Assert.Contains("Scheduled a for topic timed", (await OmqAsync("schedule create timed sooner --in 2h --id a")).Text,
            StringComparison.Ordinal);
        Assert.Equal(["a", "b"], (await OmqAsync("schedule list timed")).Lines[1..].Select(static line => line.TrimEnd().Split(' ')[^1]));
        Assert.Contains("Cancelled a", (await OmqAsync("schedule cancel timed a")).Text, StringComparison.Ordinal);
        Assert.Contains("omq schedule list timed",
            (await standalone.Broker.OmqAsync(["schedule", "cancel", "timed", "a"])).Expect(1).Error, StringComparison.Ordinal);
        Assert.Contains("--at and --in",
            (await standalone.Broker.OmqAsync(["schedule", "create", "timed", "x"])).Expect(2).Error, StringComparison.Ordinal);
        string[] repeated = ["schedule", "create", "timed", "again", "--cron", "0 9 * * MON-FRI", "--zone", "Europe/Berlin", "--id", "c"];
        Assert.Contains(", and so on", (await standalone.Broker.OmqAsync(repeated)).Expect(0).Text, StringComparison.Ordinal);
        Assert.Contains("0 9 * * MON-FRI Europe/Berlin", (await OmqAsync("schedule list timed")).Text, StringComparison.Ordinal);
        Assert.Contains("5 fields", (await standalone.Broker.OmqAsync(["schedule", "create", "timed", "x", "--cron", "x"])).Expect(1).Error,
            StringComparison.Ordinal);
        await OmqAsync("schedule cancel timed c");
        await OmqAsync("schedule create timed now --in 1s");
        Assert.Equal("now", (await OmqAsync("consume timed --max 1")).Text.Trim());
    }

    private async Task<Outcome> OmqAsync(string arguments) =>
        (await standalone.Broker.OmqAsync(arguments.Split(' '))).Expect(0);
}
