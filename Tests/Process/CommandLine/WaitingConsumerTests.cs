using OrleansMq.Tests.Process.Running;

namespace OrleansMq.Tests.Process.CommandLine;

/// <summary><c>omq consume</c> while no broker answers.</summary>
public sealed class WaitingConsumerTests
{
    [Theory]
    [InlineData("consume orders")]
    [InlineData("consume orders --group billing")]
    public async Task Consumer_that_waits_says_that_no_broker_answers_and_that_one_answers_again(string words)
    {
        using var directory = new TemporaryDirectory();
        await using var broker = await RunningBroker.UpAsync(directory["data"]);
        (await broker.OmqAsync(["topic", "create", "orders"])).Expect(0);
        (await broker.OmqAsync(["produce", "orders"], "one\n"u8.ToArray())).Expect(0);
        await using var consumer = new RunningProgram(Repository.Launcher, [.. words.Split(' '), "--server", broker.Url]);
        await consumer.LineAsync(static line => line == "one");

        await broker.KillAsync();
        await consumer.LineAsync(static line => line.StartsWith("omq: waiting: ", StringComparison.Ordinal));

        await using var next = await RunningBroker.UpAsync(directory["data"], broker.Port);
        await consumer.LineAsync(static line => line == "omq: a broker answers again.");
        (await next.OmqAsync(["produce", "orders"], "two\n"u8.ToArray())).Expect(0);
        await consumer.LineAsync(static line => line == "two");
    }
}
