using System.Runtime.CompilerServices;
using System.Text.Json;
using OrleansMq.Api;
using OrleansMq.Tests.Kafka.Connections;
using OrleansMq.Tests.Shared;

namespace OrleansMq.Tests.Kafka.Clients;

/// <summary>Share groups by Apache Kafka's own client and tools, if installed.</summary>
public sealed class ShareClientTests : IAsyncLifetime
{
    private KafkaServer _server = null!;

    public async Task InitializeAsync() => _server = await KafkaServer.StartAsync();

    public async Task DisposeAsync() => await _server.DisposeAsync();

    [SkippableFact]
    public async Task Share_consumer_acknowledges_releases_renews_and_is_moved()
    {
        var said = await ClientProgram.JavaAsync(Program(), [_server.Address]);
        Assert.Equal(["config earliest DYNAMIC_GROUP_CONFIG", "first 10 15000", "commit true", "again 3 2", "renew true", "accept true",
            "held true", "returned 3 true", "offset 0", "moved 13", "groups 0"], said.Split('\n', StringSplitOptions.RemoveEmptyEntries));
    }

    [SkippableFact]
    public async Task Share_tools_read_describe_reset_and_delete_a_group()
    {
        await _server.Broker.CreateTopicAsync(new NewTopic("work", 2));
        await RunAsync("org.apache.kafka.tools.ConsoleProducer", ["--topic", "work"], "one\ntwo\nthree\n");
        await RunAsync("kafka.admin.ConfigCommand", ["--entity-type", "groups", "--entity-name", "g", "--alter", "--add-config",
            "share.auto.offset.reset=earliest"]);
        Assert.Contains("share.auto.offset.reset=earliest", await RunAsync("kafka.admin.ConfigCommand",
            ["--entity-type", "groups", "--entity-name", "g", "--describe"]), StringComparison.Ordinal);
        var read = await RunAsync("org.apache.kafka.tools.consumer.ConsoleShareConsumer",
            ["--topic", "work", "--group", "g", "--max-messages", "3"]);
        Assert.Equal(["one", "three", "two"], read.Split('\n', StringSplitOptions.RemoveEmptyEntries).Order());
        const string groups = "org.apache.kafka.tools.consumer.group.ShareGroupCommand";
        Assert.Contains("g", await RunAsync(groups, ["--list"]), StringComparison.Ordinal);
        var described = await RunAsync(groups, ["--describe", "--group", "g"]);
        Assert.Matches(@"g\s+work\s+0\s+\d+\s+0\s", described);
        Assert.Matches(@"g\s+work\s+1\s+\d+\s+0\s", described);
        await RunAsync(groups, ["--reset-offsets", "--to-earliest", "--group", "g", "--topic", "work", "--execute"]);
        var measured = await RunAsync("org.apache.kafka.tools.ShareConsumerPerformance",
            ["--topic", "work", "--group", "g", "--num-records", "3", "--timeout", "60000"]);
        Assert.Matches(@", 3, \d+\s*$", measured);
        await RunAsync(groups, ["--delete", "--group", "g"]);
        Assert.Empty(await _server.Broker.Groups.ListGroupsAsync());
    }

    [SkippableFact]
    public async Task Librdkafka_accepts_releases_and_rejects_records_of_a_group()
    {
        var environment = PythonPackages.RequireWheels();
        await _server.Broker.CreateTopicAsync(new NewTopic("work", 3));
        var said = await ClientProgram.RunAsync(PythonPackages.Python,
            [PythonPackages.Script("share_confluent.py"), _server.Address, "work", "g"], environment: environment);
        Assert.Equal("as expected\n", said);
        Assert.Empty(_server.Log.Lines);
    }

    [SkippableFact]
    public async Task Verifiable_share_consumer_acknowledges_every_record()
    {
        await _server.Broker.CreateTopicAsync(new NewTopic("work", 2));
        await RunAsync("org.apache.kafka.tools.ConsoleProducer", ["--topic", "work"],
            string.Join('\n', Enumerable.Range(0, 50)) + "\n");
        var said = await RunAsync("org.apache.kafka.tools.VerifiableShareConsumer", ["--topic", "work", "--group-id", "g",
            "--max-messages", "50", "--acknowledgement-mode", "sync", "--offset-reset-strategy", "earliest"]);
        Assert.Equal(50, CountsOf("offsets_acknowledged", said).Sum());
        Assert.Equal(50, CountsOf("records_consumed", said).Sum());
    }

    // The tool says each event as a line of JSON.
    private static IEnumerable<long> CountsOf(string name, string said) =>
        from line in said.Split('\n')
        where line.StartsWith('{')
        let read = JsonSerializer.Deserialize<JsonElement>(line)
        where read.GetProperty("name").GetString() == name
        select read.GetProperty("count").GetInt64();

    private Task<string> RunAsync(string main, string[] arguments, string input = "") =>
        ClientProgram.JavaAsync(main, ["--bootstrap-server", _server.Address, .. arguments], input);

    private static string Program([CallerFilePath] string path = "") =>
        Path.Combine(Path.GetDirectoryName(path)!, "Java", "ShareGroups.java");
}
