using System.Globalization;
using System.Net;
using System.Net.Sockets;
using System.Text;
using System.Text.Json;
using OrleansMq.Tests.Process.Running;
using OrleansMq.Tests.Shared;

namespace OrleansMq.Tests.Process.Crash;

/// <summary>A group's consumers while their broker is killed, and while they are killed themselves.</summary>
public sealed class GroupThroughCrashesTests : IDisposable
{
    private const string Group = "billing";
    private readonly TemporaryDirectory _directory = new();

    public void Dispose() => _directory.Dispose();

    [Fact]
    public async Task Broker_kills_lose_no_record_and_reprint_no_committed_one()
    {
        const int Part = 2000;
        await using var brokers = new RestartedBroker(_directory["data"]);
        await brokers.StartAsync();
        (await brokers.OmqAsync("topic", "create", "orders", "--partitions", "4")).Expect(0);
        await using var consumer = new RunningProgram(Repository.Launcher,
            ["consume", "orders", "--group", Group, "--server", brokers.Url]);

        for (var round = 0; round < 3; round++)
        {
            await ProduceAsync(brokers.Url, round * Part, Part);
            var last = ((round * Part) + (Part / 2)).ToString(CultureInfo.InvariantCulture);
            await consumer.LineAsync(line => line == last);
            await brokers.KillAndRestartAsync();
        }
        await CommittedAsync(brokers, 3 * Part);
        consumer.Signal(2);
        var printed = (await consumer.ExitAsync()).Expect(0).Lines;

        await ProduceAsync(brokers.Url, 3 * Part, Part);
        var after = (await brokers.OmqAsync("consume", "orders", "--group", Group, "--idle-timeout", "500")).Expect(0).Lines;
        Assert.Equal(Enumerable.Range(0, 3 * Part), printed.Select(Number).Distinct().Order());
        Assert.Equal(Enumerable.Range(3 * Part, Part), after.Select(Number).Order());
    }

    [Fact]
    public async Task Offsets_committed_by_a_killed_consumer_were_printed()
    {
        const int Count = 5000;
        await using var brokers = new RestartedBroker(_directory["data"]);
        await brokers.StartAsync();
        (await brokers.OmqAsync("topic", "create", "orders", "--partitions", "1")).Expect(0);
        await ProduceAsync(brokers.Url, 0, Count);
        await using var consumer = new RunningProgram(Repository.Launcher,
            ["consume", "orders", "--group", Group, "--server", brokers.Url]);
        await CommittedAsync(brokers, 1);
        consumer.Signal(9);
        var printed = (await consumer.ExitAsync()).Lines;

        var committed = await CommittedAsync(brokers, 1);
        Assert.True(printed.Length >= committed, $"{committed} committed, {printed.Length} printed");
        // The dead member owns its partition until its session expires, so another group continues from its offset.
        Assert.Equal(Enumerable.Range(0, printed.Length), printed.Select(Number));
    }

    [Theory]
    [InlineData("consume orders --max 1")]
    [InlineData("consume orders --max 1 --group billing")]
    public async Task Connection_lost_during_the_first_request_is_retried(string command)
    {
        await using (var first = await RunningBroker.UpAsync(_directory["data"]))
        {
            (await first.OmqAsync(["topic", "create", "orders"])).Expect(0);
            (await first.OmqAsync(["produce", "orders"], "a\n"u8.ToArray())).Expect(0);
            first.Program.Signal(15);
            await first.Program.ExitAsync();
        }
        // A server that accepts the connection, receives the request and closes, like a broker killed at that moment.
        var port = FreePort.Choose();
        using var listener = new TcpListener(IPAddress.Loopback, port);
        listener.Start();
        string[] arguments = [.. command.Split(' '), "--server", string.Create(CultureInfo.InvariantCulture, $"http://127.0.0.1:{port}")];
        await using var consumer = new RunningProgram(Repository.Launcher, arguments);
        await HangUpAsync(listener);
        listener.Stop();
        await using var broker = await RunningBroker.UpAsync(_directory["data"], port);
        Assert.Equal("a\n", (await consumer.ExitAsync()).Expect(0).Text);
    }

    private static async Task HangUpAsync(TcpListener listener)
    {
        using var connection = await listener.AcceptTcpClientAsync().WaitAsync(RunningProgram.Patience);
        var question = new byte[4096];
        Assert.NotEqual(0, await connection.GetStream().ReadAsync(question).AsTask().WaitAsync(RunningProgram.Patience));
    }

    private static async Task ProduceAsync(string url, int first, int count)
    {
        var lines = string.Concat(Enumerable.Range(first, count).Select(i => string.Create(CultureInfo.InvariantCulture, $"{i}:{i}\n")));
        (await RunningProgram.OmqAsync(["produce", "orders", "--key-separator", ":", "--server", url],
            input: Encoding.UTF8.GetBytes(lines))).Expect(0);
    }

    /// <summary>Waits until at least that many records are committed.</summary>
    private static async Task<long> CommittedAsync(RestartedBroker brokers, long least)
    {
        using var deadline = new CancellationTokenSource(RunningProgram.Patience);
        while (true)
        {
            var outcome = await brokers.OmqAsync("group", "lag", Group, "--json");
            var committed = outcome.ExitCode != 0 ? 0 : JsonDocument.Parse(outcome.Output).RootElement.EnumerateArray()
                .Sum(lag => lag.GetProperty("committed") is { ValueKind: JsonValueKind.Number } number ? number.GetInt64() : 0);
            if (committed >= least)
                return committed;
            Assert.False(deadline.IsCancellationRequested, $"{committed} of {least} committed. {outcome.Error}");
            await Task.Delay(50);
        }
    }

    private static int Number(string line) => int.Parse(line, CultureInfo.InvariantCulture);
}
