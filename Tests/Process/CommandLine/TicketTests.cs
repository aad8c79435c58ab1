namespace OrleansMq.Tests.Process.CommandLine;

/// <summary><c>omq ticket</c> against a real broker, which has no tickets.</summary>
public sealed class TicketTests(StandaloneBroker standalone) : IClassFixture<StandaloneBroker>
{
    [Theory]
    [InlineData("replace-key")]
    [InlineData("drop-old-keys")]
    public async Task Broker_without_tickets_refuses_the_command_with_the_reason(string command) =>
        Assert.Contains("no tickets", (await standalone.Broker.OmqAsync(["ticket", command])).Expect(1).Error, StringComparison.Ordinal);
}
