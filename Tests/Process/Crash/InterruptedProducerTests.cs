using OrleansMq.Tests.Process.Running;

namespace OrleansMq.Tests.Process.Crash;

/// <summary>A producer that cannot continue, or is interrupted, reports how much was acknowledged.</summary>
public sealed class InterruptedProducerTests : IDisposable
{
    private readonly TemporaryDirectory _directory = new();

    public void Dispose() => _directory.Dispose();

    [Fact]
    public async Task Producer_exits_3_with_the_acknowledged_count_when_the_broker_stays_down()
    {
        await using var broker = await RunningBroker.UpAsync(_directory["data"]);
        (await broker.OmqAsync(["topic", "create", "lines"])).Expect(0);
        var input = new SteppedStream();
        await using var producer = new RunningProgram(Repository.Launcher,
            ["produce", "lines", "--timeout", "20000", "--server", broker.Url], input: input);
        input.Give("one\n"u8);
        await broker.WaitUntilAnsweredAsync(1);
        input.Give("two\n"u8);
        await broker.WaitUntilAnsweredAsync(2);
        Assert.Equal("one\ntwo\n", (await broker.OmqAsync(["consume", "lines", "--max", "2"])).Text);

        await broker.KillAsync();
        input.Give("three\n"u8);

        // The producer exits although more lines may come.
        var outcome = (await producer.ExitAsync()).Expect(3);
        Assert.Contains("2 lines were acknowledged", outcome.Error, StringComparison.Ordinal);
        input.End();
    }

    [Fact]
    public async Task Interrupted_producer_waits_for_acknowledgements_and_reports_them()
    {
        await using var broker = await RunningBroker.UpAsync(_directory["data"]);
        (await broker.OmqAsync(["topic", "create", "lines"])).Expect(0);
        var input = new SteppedStream();
        await using var producer = new RunningProgram(Repository.Launcher, ["produce", "lines", "--server", broker.Url], input: input);
        input.Give("one\ntwo\n"u8);
        Assert.Equal("one\ntwo\n", (await broker.OmqAsync(["consume", "lines", "--max", "2"])).Text);

        producer.Signal(2);

        var outcome = (await producer.ExitAsync()).Expect(1);
        Assert.Contains("Interrupted after 2 lines; 2 lines were acknowledged", outcome.Error, StringComparison.Ordinal);
        input.End();
    }

    [Fact]
    public async Task Interrupted_producer_does_not_wait_for_a_broker_that_is_down()
    {
        await using var broker = await RunningBroker.UpAsync(_directory["data"]);
        (await broker.OmqAsync(["topic", "create", "lines"])).Expect(0);
        var input = new SteppedStream();
        // If the producer waited for the broker, the test would time out first.
        await using var producer = new RunningProgram(Repository.Launcher,
            ["produce", "lines", "--timeout", "3600000", "--server", broker.Url], input: input);
        input.Give("one\n"u8);
        await broker.WaitUntilAnsweredAsync(1);
        Assert.Equal("one\n", (await broker.OmqAsync(["consume", "lines", "--max", "1"])).Text);
        await broker.KillAsync();
        input.Give("two\n"u8);
        input.End();

        producer.Signal(2);

        var outcome = (await producer.ExitAsync()).Expect(1);
        Assert.Matches("Interrupted after [12] lines; 1 lines were acknowledged", outcome.Error);
    }
}
