using System.Globalization;
using System.Text;
using System.Text.Json;
using OrleansMq.Tests.Process.Running;

namespace OrleansMq.Tests.Process.CommandLine;

/// <summary>One broker for a class of tests.</summary>
public sealed class SharedBroker : IAsyncLifetime
{
    private readonly TemporaryDirectory _directory = new();

    internal RunningBroker Broker { get; private set; } = null!;

    public async Task InitializeAsync() => Broker = await RunningBroker.UpAsync(_directory["data"]);

    public async Task DisposeAsync()
    {
        await Broker.DisposeAsync();
        _directory.Dispose();
    }

    /// <summary>Creates a topic, for tests of what comes after that.</summary>
    internal async Task CreateTopicAsync(string name, int partitions)
    {
        using var http = new HttpClient { BaseAddress = new Uri(Broker.Url) };
        using var body = new StringContent($$"""{"partitions":{{partitions}}}""", Encoding.UTF8, "application/json");
        (await http.PutAsync($"/api/topics/{name}", body)).EnsureSuccessStatusCode();
    }

    /// <summary>Deletes all topics, so that the next test starts without any.</summary>
    internal async Task ClearAsync()
    {
        using var http = new HttpClient { BaseAddress = new Uri(Broker.Url) };
        using var topics = JsonDocument.Parse(await http.GetStringAsync("/api/topics"));
        foreach (var topic in topics.RootElement.EnumerateArray())
            (await http.DeleteAsync($"/api/topics/{topic.GetProperty("name").GetString()}")).EnsureSuccessStatusCode();
    }
}

/// <summary>Every command against a real broker.</summary>
public sealed class TourTests(SharedBroker shared) : IClassFixture<SharedBroker>, IAsyncLifetime
{
    private readonly TemporaryDirectory _directory = new();
    private readonly RunningBroker _broker = shared.Broker;

    public Task InitializeAsync() => shared.ClearAsync();

    public Task DisposeAsync()
    {
        _directory.Dispose();
        return Task.CompletedTask;
    }

    [Fact]
    public async Task Topics_are_created_listed_described_altered_grown_and_deleted()
    {
        await OmqAsync("topic create orders --partitions 3 --config retention.ms=86400000");
        await OmqAsync("topic create payments");

        Assert.Contains("orders", (await OmqAsync("topic list")).Text, StringComparison.Ordinal);
        Assert.Equal(["orders", "payments"], (await JsonAsync("topic list --json")).EnumerateArray()
            .Select(topic => topic.GetProperty("name").GetString()));
        Assert.Contains("retention.ms", (await OmqAsync("topic describe orders")).Text, StringComparison.Ordinal);

        await OmqAsync("topic alter orders --config compression.type=zstd --delete-config retention.ms");
        await OmqAsync("topic add-partitions orders --partitions 5");
        var described = await JsonAsync("topic describe orders --json");
        Assert.Equal(5, described.GetProperty("partitions").GetArrayLength());
        Assert.Equal(("zstd", false), Setting(described, "compression.type"));
        Assert.Equal(("604800000", true), Setting(described, "retention.ms"));

        await OmqAsync("topic delete orders");
        Assert.Equal("payments", (await JsonAsync("topic list --json")).EnumerateArray().Single().GetProperty("name").GetString());
    }

    [Theory]
    [InlineData("topic create orders", "orders", "TopicAlreadyExists")]
    [InlineData("topic create bad!name", "bad!name", "InvalidTopic")]
    [InlineData("topic create other --config retention.sm=1", "retention.sm", "InvalidConfig")]
    [InlineData("topic create other --partitions 0", "0", "InvalidPartitions")]
    [InlineData("topic create other --replication-factor 2", "2", "InvalidReplicationFactor")]
    [InlineData("topic alter orders --config retention.ms=soon", "soon", "InvalidConfig")]
    [InlineData("topic add-partitions orders --partitions 1", "orders", "InvalidPartitions")]
    [InlineData("topic describe missing", "missing", "UnknownTopicOrPartition")]
    [InlineData("topic delete missing", "missing", "UnknownTopicOrPartition")]
    [InlineData("produce missing", "missing", "UnknownTopicOrPartition")]
    [InlineData("consume missing", "missing", "UnknownTopicOrPartition")]
    [InlineData("produce orders --partition 7", "7", "")]
    [InlineData("consume orders --partition 7", "7", "")]
    public async Task Refusal_exits_1_and_names_the_resource_and_the_code(string command, string thing, string code)
    {
        await shared.CreateTopicAsync("orders", 2);

        var outcome = (await _broker.OmqAsync(Words(command))).Expect(1);

        Assert.Contains(thing, outcome.Error, StringComparison.Ordinal);
        Assert.Contains(code, outcome.Error, StringComparison.Ordinal);
        Assert.Empty(outcome.Output);
    }

    [Theory]
    [InlineData("all", "none")]
    [InlineData("1", "gzip")]
    [InlineData("0", "snappy")]
    [InlineData("replicated", "none")]
    [InlineData("all", "lz4")]
    [InlineData("all", "zstd")]
    public async Task Lines_round_trip_byte_for_byte(string acks, string compression)
    {
        byte[] lines = [.. "first\n\nCRLF\r\n"u8, 0x00, 0xFF, 0x80, (byte)'\n', .. "ümläut\n"u8];
        await shared.CreateTopicAsync("bytes", 1);

        var produced = await OmqAsync($"produce bytes --acks {acks} --compression {compression}", lines);
        var consumed = await OmqAsync("consume bytes --max 5");

        Assert.Empty(produced.Output);
        Assert.Contains("5 records acknowledged", produced.Error, StringComparison.Ordinal);
        Assert.Equal(lines, consumed.Output);
        Assert.Empty(consumed.Error);
    }

    [Fact]
    public async Task Transient_records_say_so_in_a_header()
    {
        await OmqAsync("topic create drafts --config flush.messages=1");

        await OmqAsync("produce drafts --transient", "a\n"u8.ToArray());

        Assert.Contains("omq.persistent", (await OmqAsync("consume drafts --max 1 --json")).Text, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Carriage_return_is_dropped_only_on_request()
    {
        await OmqAsync("topic create windows");

        await OmqAsync("produce windows --trim-cr", "a\r\nb\r\n"u8.ToArray());

        Assert.Equal("a\nb\n", (await OmqAsync("consume windows --max 2")).Text);
    }

    [Fact]
    public async Task Keys_precede_the_separator_and_keep_one_partition()
    {
        await OmqAsync("topic create keyed --partitions 4");
        var lines =
            string.Concat(Enumerable.Range(0, 100).Select(i => string.Create(CultureInfo.InvariantCulture, $"k{i % 10}::v{i}:x\n")));

        await OmqAsync("produce keyed --key-separator ::", Encoding.UTF8.GetBytes(lines));

        var records = (await OmqAsync("consume keyed --max 100 --json")).Lines.Select(line => JsonDocument.Parse(line).RootElement)
            .ToList();
        Assert.Equal(100, records.Count);
        foreach (var key in records.GroupBy(record => record.GetProperty("key").GetString()))
        {
            Assert.Single(key.Select(record => record.GetProperty("partition").GetInt32()).Distinct());
            Assert.Equal(Enumerable.Range(0, 10)
                .Select(i => string.Create(CultureInfo.InvariantCulture,
                    $"v{(i * 10) + int.Parse(key.Key![1..], CultureInfo.InvariantCulture)}:x")),
                key.Select(record => record.GetProperty("value").GetString()));
        }
        var withKeys = (await OmqAsync("consume keyed --max 100 --key-separator ::")).Lines;
        Assert.Equal(lines.Split('\n', StringSplitOptions.RemoveEmptyEntries).Order(StringComparer.Ordinal),
            withKeys.Order(StringComparer.Ordinal));
    }

    [Fact]
    public async Task Line_without_separator_is_refused_with_its_number_and_the_acknowledged_count()
    {
        await OmqAsync("topic create keyed");

        var outcome = (await _broker.OmqAsync(["produce", "keyed", "--key-separator", ":"], "a:1\nb:2\nc3\nd:4\n"u8.ToArray())).Expect(1);

        Assert.Contains("Line 3 has no key separator", outcome.Error, StringComparison.Ordinal);
        Assert.Contains("2 lines were acknowledged", outcome.Error, StringComparison.Ordinal);
        Assert.Equal("1\n2\n", (await OmqAsync("consume keyed --max 2")).Text);
    }

    [Fact]
    public async Task Line_above_the_topics_limit_is_refused_with_its_number_and_the_setting()
    {
        await OmqAsync("topic create small --config max.message.bytes=2000");

        var outcome =
            (await _broker.OmqAsync(["produce", "small"], Encoding.ASCII.GetBytes($"short\n{new string('x', 3000)}\n"))).Expect(1);

        Assert.Contains("Line 2 is longer than", outcome.Error, StringComparison.Ordinal);
        Assert.Contains("max.message.bytes=2000", outcome.Error, StringComparison.Ordinal);
        Assert.Contains("1 lines were acknowledged", outcome.Error, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Longest_allowed_line_is_accepted()
    {
        await OmqAsync("topic create small --config max.message.bytes=2000");
        var refused = (await _broker.OmqAsync(["produce", "small"], new byte[3000])).Expect(1);
        var longest = int.Parse(refused.Error.Split("longer than ")[1].Split(' ')[0], CultureInfo.InvariantCulture);

        await OmqAsync("produce small", new byte[longest]);

        Assert.Equal(longest + 1, (await OmqAsync("consume small --max 1")).Output.Length);
    }

    [Fact]
    public async Task Consume_starts_where_asked_and_ends_when_idle()
    {
        await OmqAsync("topic create numbers --partitions 2");
        await OmqAsync("produce numbers --partition 1", "0\n1\n2\n3\n4\n"u8.ToArray());

        Assert.Equal("0\n1\n2\n3\n4\n", (await OmqAsync("consume numbers --idle-timeout 300")).Text);
        Assert.Equal("3\n4\n", (await OmqAsync("consume numbers --partition 1 --offset 3 --idle-timeout 300")).Text);
        Assert.Equal("1\n2\n", (await OmqAsync("consume numbers --partition 1 --offset 1 --max 2")).Text);
        Assert.Equal("", (await OmqAsync("consume numbers --partition 0 --idle-timeout 300")).Text);
        Assert.Equal("", (await OmqAsync("consume numbers --offset latest --idle-timeout 300")).Text);
        (await _broker.OmqAsync(["consume", "numbers", "--offset", "3"])).Expect(2); // the partition of offset 3 is ambiguous
        (await _broker.OmqAsync(["consume", "numbers", "--partition", "1", "--offset", "99"])).Expect(1);
    }

    [Fact]
    public async Task Consume_waits_for_later_records_and_exits_0_on_interrupt()
    {
        await OmqAsync("topic create live");
        await using var consumer = new RunningProgram(Repository.Launcher, ["consume", "live", "--server", _broker.Url]);
        await OmqAsync("produce live", "one\n"u8.ToArray());
        await consumer.LineAsync(line => line == "one");
        await OmqAsync("produce live", "two\n"u8.ToArray());
        await consumer.LineAsync(line => line == "two");

        consumer.Signal(2);

        Assert.Equal("one\ntwo\n", (await consumer.ExitAsync()).Expect(0).Text);
    }

    [Fact]
    public async Task Closed_reader_ends_consume_quietly()
    {
        await OmqAsync("topic create many");
        await OmqAsync("produce many", Encoding.ASCII.GetBytes(string.Concat(Enumerable.Repeat("a line of some length\n", 20_000))));

        var script = $"set -o pipefail; '{Repository.Launcher}' consume many --server {_broker.Url} | head -1";
        await using var pipe = new RunningProgram("/bin/bash", ["-c", script]);

        var outcome = (await pipe.ExitAsync()).Expect(0);
        Assert.Equal("a line of some length\n", outcome.Text);
        Assert.Empty(outcome.Error);
    }

    [Fact]
    public async Task Standard_output_is_appended_to_a_shared_file()
    {
        await OmqAsync("topic create shared");
        await OmqAsync("produce shared", "one\ntwo\n"u8.ToArray());

        var script =
            $"(echo begin; '{Repository.Launcher}' consume shared --max 2 --server {_broker.Url}; echo end) > '{_directory["file"]}'";
        await using var shell = new RunningProgram("/bin/bash", ["-c", script]);
        (await shell.ExitAsync()).Expect(0);

        Assert.Equal("begin\none\ntwo\nend\n", await File.ReadAllTextAsync(_directory["file"]));
    }

    [SkippableFact]
    public async Task Unwritable_output_is_refused_with_the_reason()
    {
        Skip.IfNot(File.Exists("/dev/full"), "/dev/full is Linux's.");
        await OmqAsync("topic create full");
        await OmqAsync("produce full", "line\n"u8.ToArray());

        await using var shell = new RunningProgram("/bin/bash",
            ["-c", $"'{Repository.Launcher}' consume full --max 1 --server {_broker.Url} > /dev/full"]);

        Assert.Contains("Standard output cannot be written", (await shell.ExitAsync()).Expect(1).Error, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Server_may_come_from_the_environment_and_without_a_scheme()
    {
        await OmqAsync("topic create orders");

        var outcome = await RunningProgram.OmqAsync(["topic", "list", "--json"],
            environment: new Dictionary<string, string?> { ["OMQ_SERVER"] = _broker.Url.Replace("http://", "", StringComparison.Ordinal) });

        Assert.Contains("orders", outcome.Expect(0).Text, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Dump_shows_segment_contents_and_detects_damage()
    {
        await OmqAsync("topic create dumped");
        await OmqAsync("produce dumped --key-separator =", "k=v\nempty=\n"u8.ToArray());
        await OmqAsync("produce dumped --compression zstd", [0xFF, (byte)'\n']);
        var segment = Path.Combine(_broker.DataDirectory, "logs", "dumped-0", "00000000000000000000.log");

        var text = (await RunningProgram.OmqAsync(["dump", segment])).Expect(0).Text;
        var batches = (await RunningProgram.OmqAsync(["dump", segment, "--json"])).Expect(0)
            .Lines.Select(line => JsonDocument.Parse(line).RootElement).ToList();

        Assert.Contains("key \"k\"  value \"v\"", text, StringComparison.Ordinal);
        Assert.Contains("codec zstd", text, StringComparison.Ordinal);
        Assert.Contains("value 0xff", text, StringComparison.Ordinal);
        Assert.Equal(3, batches.Sum(batch => batch.GetProperty("recordCount").GetInt32()));
        Assert.Equal(Enumerable.Range(0, 3),
            batches.SelectMany(batch => batch.GetProperty("records").EnumerateArray()
                .Select(record => record.GetProperty("offset").GetInt32())));
        Assert.All(batches, batch => Assert.True(batch.GetProperty("valid").GetBoolean()));
        Assert.Equal("/w==", batches[^1].GetProperty("records")[0].GetProperty("valueBase64").GetString());

        var damaged = await File.ReadAllBytesAsync(segment);
        damaged[batches[0].GetProperty("sizeBytes").GetInt32() - 1] ^= 1;
        await File.WriteAllBytesAsync(_directory["damaged.log"], [.. damaged, 1, 2, 3]);
        var found = (await RunningProgram.OmqAsync(["dump", _directory["damaged.log"]])).Expect(1);
        Assert.Contains("DAMAGED (BadCrc)", found.Text, StringComparison.Ordinal);
        Assert.Contains("DAMAGED (Truncated)", found.Text, StringComparison.Ordinal);
        Assert.Contains("codec zstd", found.Text, StringComparison.Ordinal); // the intact batch after it

        await File.WriteAllBytesAsync(_directory[Path.GetFileName(segment)], [1, .. (await File.ReadAllBytesAsync(segment)).Skip(1)]);
        var misplaced = (await RunningProgram.OmqAsync(["dump", _directory[Path.GetFileName(segment)]])).Expect(1);
        Assert.Contains("DAMAGED (BadOffsets)", misplaced.Text, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("produce", "produce")]
    [InlineData("consume", "consume")]
    [InlineData("both", "produce,end-to-end")]
    public async Task Bench_measures_a_broker_beside_a_raw_write_and_leaves_nothing_behind(string mode, string phases)
    {
        var report = await JsonAsync($"bench {mode} --records 3000 --record-size 50 --partitions 2 --compression lz4 --json");

        Assert.Equal(phases.Split(','), report.GetProperty("phases").EnumerateArray()
            .Select(phase => phase.GetProperty("name").GetString()));
        foreach (var phase in report.GetProperty("phases").EnumerateArray())
        {
            var latency = phase.GetProperty("latencyMs");
            var percentiles = ((string[])["p50", "p95", "p99", "p999", "max"]).Select(name => latency.GetProperty(name).GetDouble())
                .ToList();
            Assert.True(phase.GetProperty("recordsPerSecond").GetDouble() > 0);
            Assert.Equal(150_000, phase.GetProperty("bytes").GetInt64());
            Assert.Equal(percentiles.Order(), percentiles);
            // If all records are available when reading starts, no wait is measured.
            Assert.True(percentiles[^1] > 0 || mode == "consume");
        }
        Assert.Equal(150_000, report.GetProperty("rawWrite").GetProperty("bytes").GetInt64());
        Assert.Equal(0, (await JsonAsync("topic list --json")).GetArrayLength());
    }

    [Fact]
    public async Task Bench_without_server_starts_its_own_broker_and_prints_a_table()
    {
        var outcome = (await RunningProgram.OmqAsync(["bench", "produce", "--records", "1000", "--record-size", "10"],
            environment: new Dictionary<string, string?> { ["TMPDIR"] = _directory.FullName })).Expect(0);

        Assert.Contains("P99.9 MS", outcome.Text, StringComparison.Ordinal);
        Assert.Contains("raw write", outcome.Text, StringComparison.Ordinal);
        Assert.Empty(Directory.EnumerateFileSystemEntries(_directory.FullName, "omq-bench-*"));
    }

    private static (string? Value, bool IsDefault) Setting(JsonElement topic, string name)
    {
        var setting = topic.GetProperty("configs").EnumerateArray().Single(config => config.GetProperty("name").GetString() == name);
        return (setting.GetProperty("value").GetString(), setting.GetProperty("isDefault").GetBoolean());
    }

    private async Task<Outcome> OmqAsync(string command, byte[]? input = null) => (await _broker.OmqAsync(Words(command), input)).Expect(0);

    private async Task<JsonElement> JsonAsync(string command) => JsonDocument.Parse((await OmqAsync(command)).Output).RootElement;

    private static string[] Words(string command) => command.Split(' ');
}
