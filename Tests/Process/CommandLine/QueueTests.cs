using System.Text;
using System.Text.Json;
using OrleansMq.Tests.Process.Running;

namespace OrleansMq.Tests.Process.CommandLine;

/// <summary>A broker of one process, which has queues.</summary>
public sealed class StandaloneBroker : IAsyncLifetime
{
    private readonly TemporaryDirectory _directory = new();

    internal RunningBroker Broker { get; private set; } = null!;

    public async Task InitializeAsync() => Broker = await RunningBroker.UpAsync(_directory["data"], 0, "--standalone");

    public async Task DisposeAsync()
    {
        await Broker.DisposeAsync();
        _directory.Dispose();
    }
}

/// <summary><c>omq queue</c> against a real broker.</summary>
public sealed class QueueTests(StandaloneBroker standalone) : IClassFixture<StandaloneBroker>
{
    private static int _number;
    private readonly string _topic = $"queued-{Interlocked.Increment(ref _number)}";

    [Fact]
    public async Task Queue_is_created_listed_described_and_deleted()
    {
        await PrepareAsync(partitions: 2, lines: 3);
        Assert.StartsWith("No queues.", (await OmqAsync($"queue list {_topic}")).Text, StringComparison.Ordinal);
        var created = (await OmqAsync($"queue create {_topic} mails --max-failures 5 --retry-delay 1.5s --ordered-by-key")).Text;
        Assert.Contains("Rejected after 5 failures; delivered again after 1.5 s, doubled up to 600 s; ordered by key.", created,
            StringComparison.Ordinal);
        await OmqAsync($"queue create {_topic} late --from latest --partition 1");
        Assert.Contains("does not exist", (await standalone.Broker.OmqAsync(["queue", "create", _topic, "strict", "--dead-letter-topic",
            _topic + ".dead-letter"])).Expect(1).Error, StringComparison.Ordinal);
        await OmqAsync($"topic create {_topic}.dead-letter");
        Assert.Contains($"; dead letters in {_topic}.dead-letter.",
            (await OmqAsync($"queue create {_topic} strict --dead-letter-topic {_topic}.dead-letter")).Text, StringComparison.Ordinal);
        await OmqAsync($"queue delete {_topic} strict");

        Assert.Equal(["late 1", "mails 0", "mails 1"], (await OmqAsync($"queue list {_topic}")).Lines[1..]
            .Select(static line => string.Join(' ', line.Split(' ', StringSplitOptions.RemoveEmptyEntries)[..2])));
        var described = await JsonAsync($"queue describe {_topic} mails --json");
        Assert.Equal(3, described.EnumerateArray().Sum(static queue => queue.GetProperty("unsettled").GetInt64()));
        Assert.Contains(described.EnumerateArray(), static queue => queue.TryGetProperty("oldestTimestamp", out _));
        Assert.Contains("OLDEST", (await OmqAsync($"queue describe {_topic} mails")).Text, StringComparison.Ordinal);

        await OmqAsync($"queue alter {_topic} mails --max-failures 9 --record-times true --max-length 1000 --overflow refuse-publish");
        Assert.Contains("Rejected after 9 failures; delivered again after 1.5 s, doubled up to 600 s; ordered by key; records name their "
            + "times; at most 1000 records, then none is appended.", (await OmqAsync($"queue describe {_topic} mails")).Text,
            StringComparison.Ordinal);

        Assert.Contains("2 partitions", (await OmqAsync($"queue delete {_topic} mails")).Text, StringComparison.Ordinal);
        foreach (var command in new[] { "describe", "peek", "purge", "delete", "consume" })
            Assert.Contains($"omq queue create {_topic} mails",
                (await standalone.Broker.OmqAsync(["queue", command, _topic, "mails"])).Expect(1).Error, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Only_printed_records_are_completed()
    {
        await PrepareAsync(partitions: 1, lines: 10);
        await OmqAsync($"queue create {_topic} mails");

        Assert.Equal(["0", "1"], (await OmqAsync($"queue peek {_topic} mails --max 2")).Lines);
        Assert.Equal(["0", "1", "2", "3"], (await OmqAsync($"queue consume {_topic} mails --max 4")).Lines);
        Assert.Equal(4, (await JsonAsync($"queue describe {_topic} mails --json"))[0].GetProperty("accepted").GetInt64());
        Assert.Equal(["4", "5", "6", "7", "8", "9"], (await OmqAsync($"queue consume {_topic} mails --max 6")).Lines);
        Assert.Empty((await OmqAsync($"queue consume {_topic} mails --idle-timeout 100")).Output);
    }

    [Fact]
    public async Task Consumers_share_a_partition_and_an_interrupted_one_gives_back_what_it_did_not_print()
    {
        await PrepareAsync(partitions: 1, lines: 0);
        await OmqAsync($"queue create {_topic} mails");
        await using var first = Consume();
        await using var second = Consume();
        await UntilAsync("consumers", 2);
        await ProduceAsync(0, 100);
        await UntilAsync("accepted", 100);
        second.Signal(2);
        var left = (await second.ExitAsync()).Expect(0).Lines;
        await ProduceAsync(100, 100);
        await UntilAsync("accepted", 200);
        first.Signal(2);
        var stayed = (await first.ExitAsync()).Expect(0).Lines;
        Assert.Equal(Enumerable.Range(0, 200), left.Concat(stayed).Select(int.Parse).Order());

        RunningProgram Consume() => new(Repository.Launcher,
            ["queue", "consume", _topic, "mails", "--server", standalone.Broker.Url]);
    }

    [Fact]
    public async Task Queue_is_purged_and_begins_anew()
    {
        await PrepareAsync(partitions: 1, lines: 3);
        await OmqAsync($"queue create {_topic} mails");
        Assert.Contains("partition 0", (await OmqAsync($"queue purge {_topic} mails")).Text, StringComparison.Ordinal);
        Assert.Empty((await OmqAsync($"queue peek {_topic} mails")).Output);
        await OmqAsync($"queue reset {_topic} mails --by-duration 1h");
        Assert.Equal(["0", "1", "2"], (await OmqAsync($"queue peek {_topic} mails")).Lines);
        await OmqAsync($"queue reset {_topic} mails --to-latest");
        Assert.Empty((await OmqAsync($"queue peek {_topic} mails")).Output);
        var reset = (await JsonAsync($"queue reset {_topic} mails --to-datetime 2020-01-01 --json"))[0];
        Assert.Equal(0, reset.GetProperty("floor").GetInt64());
        var second = (await JsonLinesAsync($"queue peek {_topic} mails --json"))[1];
        Assert.Equal("1", second.GetProperty("value").GetString());
        var offset = second.GetProperty("offset").GetInt64();
        await OmqAsync($"queue reset {_topic} mails --partition 0 --to-offset {offset}");
        Assert.Equal(["1", "2"], (await OmqAsync($"queue peek {_topic} mails")).Lines);
    }

    private async Task PrepareAsync(int partitions, int lines)
    {
        await OmqAsync($"topic create {_topic} --partitions {partitions}");
        if (lines > 0)
            await ProduceAsync(0, lines);
    }

    private async Task ProduceAsync(int from, int count) => (await standalone.Broker.OmqAsync(["produce", _topic],
        Encoding.UTF8.GetBytes(string.Concat(Enumerable.Range(from, count).Select(static number => $"{number}\n"))))).Expect(0);

    private async Task UntilAsync(string field, long value)
    {
        using var deadline = new CancellationTokenSource(TimeSpan.FromMinutes(2));
        while ((await JsonAsync($"queue describe {_topic} mails --json"))[0].GetProperty(field).GetInt64() != value)
            await Task.Delay(50, deadline.Token);
    }

    private async Task<Outcome> OmqAsync(string command) => (await standalone.Broker.OmqAsync(command.Split(' '))).Expect(0);

    private async Task<JsonElement> JsonAsync(string command) => JsonDocument.Parse((await OmqAsync(command)).Output).RootElement;

    private async Task<List<JsonElement>> JsonLinesAsync(string command) =>
        [.. (await OmqAsync(command)).Lines.Select(static line => JsonDocument.Parse(line).RootElement)];
}
