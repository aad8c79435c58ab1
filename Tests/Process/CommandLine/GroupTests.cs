using System.Globalization;
using System.Text;
using System.Text.Json;
using OrleansMq.Tests.Process.Running;

namespace OrleansMq.Tests.Process.CommandLine;

/// <summary><c>omq group</c> and <c>omq consume --group</c> against a real broker.</summary>
public sealed class GroupTests(SharedBroker shared) : IClassFixture<SharedBroker>, IDisposable
{
    private static int _number;
    private readonly TemporaryDirectory _directory = new();
    private readonly RunningBroker _broker = shared.Broker;
    private readonly string _topic = $"orders-{Interlocked.Increment(ref _number)}";
    private readonly string _group = $"billing-{_number}";

    public void Dispose() => _directory.Dispose();

    [Fact]
    public async Task Only_printed_records_are_committed()
    {
        await PrepareAsync(partitions: 1, lines: 10);

        Assert.Equal(["0", "1", "2", "3"], (await OmqAsync($"consume {_topic} --group {_group} --max 4")).Lines);
        Assert.Equal(4, (await JsonAsync($"group lag {_group} --json"))[0].GetProperty("committed").GetInt64());
        Assert.Equal(["4", "5", "6", "7", "8", "9"], (await OmqAsync($"consume {_topic} --group {_group} --idle-timeout 200")).Lines);
        Assert.Empty((await OmqAsync($"consume {_topic} --group {_group} --idle-timeout 200")).Output);
    }

    [Fact]
    public async Task Group_starting_at_latest_reads_only_new_records()
    {
        await PrepareAsync(partitions: 1, lines: 3);
        await using var consumer = Consume("--offset latest --max 1");
        await MembersAsync(1, partitions: 1);

        await ProduceUntilPrintedAsync(consumer);
        Assert.StartsWith("new", (await consumer.ExitAsync()).Expect(0).Lines.Single(), StringComparison.Ordinal);
    }

    [Fact]
    public async Task Processes_share_partitions_and_a_leaving_one_returns_its_own()
    {
        await PrepareAsync(partitions: 4, lines: 0);
        await using var first = Consume("");
        await MembersAsync(1, partitions: 4);
        await using var second = Consume("");
        await MembersAsync(2, partitions: 4);

        await ProduceAsync(0, 100);
        await CommittedAsync(100);
        second.Signal(2);
        var left = (await second.ExitAsync()).Expect(0).Lines;
        await MembersAsync(1, partitions: 4);
        await ProduceAsync(100, 100);
        await CommittedAsync(200);
        first.Signal(2);
        var stayed = (await first.ExitAsync()).Expect(0).Lines;

        Assert.NotEmpty(left);
        Assert.Equal(Numbers(0, 200), left.Concat(stayed).Select(Number).Order());
    }

    [Fact]
    public async Task Groups_are_listed_described_measured_and_deleted()
    {
        await PrepareAsync(partitions: 2, lines: 0);
        await ProduceAsync(0, 10, "--partition 1");
        await OmqAsync($"consume {_topic} --group {_group} --max 4");

        Assert.Contains(_group, (await OmqAsync("group list")).Text, StringComparison.Ordinal);
        Assert.Equal("Empty", (await JsonAsync("group list --json")).EnumerateArray()
            .Single(group => group.GetProperty("groupId").GetString() == _group).GetProperty("state").GetString());
        Assert.Contains("No members", (await OmqAsync($"group describe {_group}")).Text, StringComparison.Ordinal);
        var table = (await OmqAsync($"group lag {_group}")).Text;
        Assert.Matches($@"{_topic} +1 +4 +10 +6 +\d+\.\d", table);
        Assert.Contains("6 records behind", table, StringComparison.Ordinal);
        Assert.InRange((await JsonAsync($"group lag {_group} --json"))[0].GetProperty("seconds").GetDouble(), 0.001, 600);

        Assert.Equal(_group, (await JsonAsync($"group delete {_group} --json")).GetProperty("groupId").GetString());
        Assert.DoesNotContain(_group, (await OmqAsync("group list")).Text, StringComparison.Ordinal);
        foreach (var command in new[] { "describe", "lag", "delete" })
            Assert.Contains("GroupIdNotFound", (await _broker.OmqAsync(["group", command, _group])).Expect(1).Error,
                StringComparison.Ordinal);
    }

    /// <summary>Each command is a process of its own, so what is the same for all targets is prepared once.</summary>
    [Fact]
    public async Task Reset_shows_its_plan_and_executes_it_on_request()
    {
        await PrepareAsync(partitions: 1, lines: 10);
        await OmqAsync($"group reset {_group} --topic {_topic} --to-offset 6 --execute");
        var current = 6;
        // A plan shows what the step before it has stored. That the plan changes nothing shows in what is shifted.
        foreach (var (target, expected) in new[]
        {
            ("--to-current", 6), ("--shift-by -2", 4), ("--shift-by 4", 8), ("--to-earliest", 0), ("--to-latest", 10),
            ("--to-offset 3", 3), ("--to-offset 30", 10), ("--to-datetime 2020-01-01", 0),
            ("--to-datetime 2100-01-01T00:00:00+02:00", 10), ("--by-duration 1h", 0), ("--by-duration PT0S", 10),
        })
        {
            var plan = (await OmqAsync($"group reset {_group} --topic {_topic} {target}")).Text;
            Assert.Matches($@"{_topic} +0 +{current} +{expected}\b", plan);
            Assert.Contains("Nothing was changed. Add --execute to do it.", plan, StringComparison.Ordinal);
            var done = await JsonAsync($"group reset {_group} --topic {_topic}:0 {target} --execute --json");
            Assert.Equal((true, expected),
                (done.GetProperty("executed").GetBoolean(), done.GetProperty("partitions")[0].GetProperty("target").GetInt32()));
            current = expected;
        }
        Assert.Equal(current, await CommittedAsync());
    }

    [Fact]
    public async Task Offsets_are_read_from_a_file()
    {
        await PrepareAsync(partitions: 2, lines: 10);
        await File.WriteAllTextAsync(_directory["offsets.csv"], $"# where they were on Monday\n{_topic},0,1\n\n{_topic}, 1, 0\n");

        await OmqAsync($"group reset {_group} --from-file {_directory["offsets.csv"]} --execute");

        Assert.Equal([(0, 1L), (1, 0L)], (await JsonAsync($"group lag {_group} --json")).EnumerateArray()
            .Select(lag => (lag.GetProperty("partition").GetProperty("partition").GetInt32(), lag.GetProperty("committed").GetInt64()))
            .Where(lag => lag.Item1 == 1 || lag.Item2 <= 1));
    }

    [Fact]
    public async Task Group_with_members_is_neither_reset_nor_deleted()
    {
        await PrepareAsync(partitions: 1, lines: 5);
        await using var consumer = Consume("");
        await MembersAsync(1, partitions: 1);
        await CommittedAsync(5);

        Assert.Contains("stop its consumers", (await OmqAsync($"group reset {_group} --topic {_topic} --to-earliest")).Text,
            StringComparison.Ordinal);
        var refused = (await _broker.OmqAsync(["group", "reset", _group, "--topic", _topic, "--to-earliest", "--execute"])).Expect(1);
        Assert.Contains("Stop its consumers first", refused.Error, StringComparison.Ordinal);
        Assert.Contains("NonEmptyGroup", (await _broker.OmqAsync(["group", "delete", _group])).Expect(1).Error, StringComparison.Ordinal);
        Assert.Equal(5, await CommittedAsync());
        Assert.Contains($"{_topic}:0", (await OmqAsync($"group describe {_group}")).Text, StringComparison.Ordinal);

        consumer.Signal(2);
        (await consumer.ExitAsync()).Expect(0);
        await OmqAsync($"group reset {_group} --topic {_topic} --to-earliest --execute");
        Assert.Equal(0, await CommittedAsync());
    }

    [Fact]
    public async Task Committed_offset_out_of_range_is_reported_with_a_remedy()
    {
        await PrepareAsync(partitions: 1, lines: 5);
        await OmqAsync($"consume {_topic} --group {_group} --max 1");
        using (var http = new HttpClient { BaseAddress = new Uri(_broker.Url) })
        using (var body = new StringContent("""{"beforeOffset":3}""", Encoding.UTF8, "application/json"))
            (await http.PostAsync($"/api/topics/{_topic}/partitions/0/delete-records", body)).EnsureSuccessStatusCode();

        var refused = (await _broker.OmqAsync(["consume", _topic, "--group", _group, "--max", "1"])).Expect(1);
        Assert.Contains($"omq group reset {_group} --topic {_topic} --to-current --execute", refused.Error, StringComparison.Ordinal);
        await OmqAsync($"group reset {_group} --topic {_topic} --to-current --execute");
        Assert.Equal(["3"], (await OmqAsync($"consume {_topic} --group {_group} --max 1")).Lines);
    }

    [Fact]
    public async Task Closed_output_ends_the_consumer_and_read_records_are_committed()
    {
        await PrepareAsync(partitions: 1, lines: 20_000);
        await using var piped = new RunningProgram("/bin/sh",
            ["-c", $"'{Repository.Launcher}' consume {_topic} --group {_group} --server {_broker.Url} | head -n 3"]);
        Assert.Equal(["0", "1", "2"], (await piped.ExitAsync()).Expect(0).Lines);
        await MembersAsync(0, partitions: 0);
    }

    private async Task PrepareAsync(int partitions, int lines)
    {
        await OmqAsync($"topic create {_topic} --partitions {partitions}");
        if (lines > 0)
            await ProduceAsync(0, lines);
    }

    /// <summary>Produces lines with keys, so that every partition gets some.</summary>
    private Task ProduceAsync(int first, int count, string more = "")
    {
        var lines = string.Concat(Numbers(first, count).Select(i => string.Create(CultureInfo.InvariantCulture, $"{i}:{i}\n")));
        return OmqAsync($"produce {_topic} --key-separator : {more}".TrimEnd(), Encoding.UTF8.GetBytes(lines));
    }

    private async Task ProduceUntilPrintedAsync(RunningProgram consumer)
    {
        // The position of "latest" is known only once a first record was read after it.
        for (var i = 0; !consumer.HasExited && i < 100; i++)
            await OmqAsync($"produce {_topic}", "new\n"u8.ToArray());
    }

    private RunningProgram Consume(string more) => new(Repository.Launcher,
        ["consume", _topic, "--group", _group, .. more.Split(' ', StringSplitOptions.RemoveEmptyEntries), "--server", _broker.Url]);

    /// <summary>Waits until the group has that many members, which own that many partitions.</summary>
    private Task MembersAsync(int members, int partitions) => UntilAsync($"group describe {_group} --json", group =>
        {
        var held = group.GetProperty("members").EnumerateArray().Select(member => member.GetProperty("assignment").GetArrayLength())
            .ToList();
        return held.Count == members && held.Sum() == partitions && (members == 0 || held.All(count => count > 0));
    });

    private Task CommittedAsync(long total) => UntilAsync($"group lag {_group} --json", lags => Committed(lags) == total);

    private async Task<long> CommittedAsync() => Committed(await JsonAsync($"group lag {_group} --json"));

    private static long Committed(JsonElement lags) =>
        lags.EnumerateArray().Sum(lag => lag.GetProperty("committed") is { ValueKind: JsonValueKind.Number } committed
            ? committed.GetInt64() : 0);

    private async Task UntilAsync(string command, Func<JsonElement, bool> wanted)
    {
        using var deadline = new CancellationTokenSource(RunningProgram.Patience);
        while (true)
        {
            var outcome = await _broker.OmqAsync(command.Split(' '));
            if (outcome.ExitCode == 0 && wanted(JsonDocument.Parse(outcome.Output).RootElement))
                return;
            Assert.False(deadline.IsCancellationRequested, $"omq {command} still says: {outcome.Text}{outcome.Error}");
            await Task.Delay(50);
        }
    }

    private async Task<Outcome> OmqAsync(string command, byte[]? input = null) =>
        (await _broker.OmqAsync(command.Split(' '), input)).Expect(0);

    private async Task<JsonElement> JsonAsync(string command) => JsonDocument.Parse((await OmqAsync(command)).Output).RootElement;

    private static IEnumerable<int> Numbers(int first, int count) => Enumerable.Range(first, count);

    private static int Number(string line) => int.Parse(line, CultureInfo.InvariantCulture);
}
