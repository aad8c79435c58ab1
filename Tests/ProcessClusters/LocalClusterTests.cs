using System.Text.Json;
using OrleansMq.PostgreSql.Servers;
using OrleansMq.Tests.Process.Running;

namespace OrleansMq.Tests.ProcessClusters;

/// <summary><c>omq cluster up</c>: its processes, its output, and its cleanup.</summary>
public sealed class LocalClusterTests : IDisposable
{
    private const int Interrupt = 2;
    private const int Kill = 9;
    private const int Terminate = 15;

    private readonly TemporaryDirectory _directory = new();

    public LocalClusterTests()
    {
        // Under root the database runs as another user, which needs access to the directory.
        if (!OperatingSystem.IsWindows())
            File.SetUnixFileMode(_directory.FullName,
                File.GetUnixFileMode(_directory.FullName) | UnixFileMode.GroupExecute | UnixFileMode.OtherExecute);
    }

    public void Dispose() => _directory.Dispose();

    [SkippableFact]
    public async Task Local_cluster_lists_its_processes_and_leaves_none_after_an_interrupt()
    {
        await using var cluster = await RunningCluster.UpAsync(2, "--racks", "east,west");
        var processes = cluster.Processes.ToList();

        Assert.Equal(3, processes.Count);
        Assert.All(processes, process => Assert.True(ProcessTable.Runs(process)));
        Assert.Equal(["east", "west"], cluster.Brokers.Values.Select(broker => broker.GetProperty("rack").GetString()));
        Assert.All(cluster.Brokers.Values, broker => Assert.All(["http", "orleans", "gateway", "data", "log"],
            name => Assert.NotEmpty(broker.GetProperty(name).GetString()!)));
        Assert.Contains("Host=127.0.0.1", cluster.Postgres.GetProperty("connectionString").GetString(), StringComparison.Ordinal);
        var status = JsonSerializer.Deserialize<JsonElement>((await cluster.OmqAsync(["cluster", "status", "--json"])).Expect(0).Text);
        Assert.Equal(cluster.Cluster.GetProperty("clusterId").GetString(), status.GetProperty("clusterId").GetString());

        (await cluster.EndAsync(Interrupt)).Expect(0);

        await ProcessTable.AwaitEndAsync(processes);
        Assert.False(Directory.Exists(cluster.Data), "a temporary directory is gone");
    }

    [SkippableFact]
    public async Task Kill_of_the_launcher_ends_all_its_processes()
    {
        await using var cluster = await RunningCluster.UpAsync(2, "--data", _directory["c"]);

        await cluster.EndAsync(Kill);

        await ProcessTable.AwaitEndAsync(cluster.Processes);
    }

    [SkippableFact]
    public async Task Killed_broker_is_reported_and_stays_down()
    {
        await using var cluster = await RunningCluster.UpAsync(2);

        cluster.Kill(2);

        var ended = await EndOfAsync(cluster, 2);
        Assert.Equal((2, cluster.PidOf(2), 137, false), (ended.GetProperty("brokerId").GetInt32(), ended.GetProperty("pid").GetInt32(),
            ended.GetProperty("exitCode").GetInt32(), ended.GetProperty("restarting").GetBoolean()));
        (await cluster.EndAsync()).Expect(0);
    }

    [SkippableFact]
    public async Task Killed_broker_returns_with_the_same_id_under_restart()
    {
        await using var cluster = await RunningCluster.UpAsync(2, "--restart");
        var (before, database) = (cluster.Brokers[2], cluster.Postgres.GetProperty("pid").GetInt32());

        cluster.Kill(2);
        var after = await cluster.LineAsync(line => line.TryGetProperty("brokerId", out var id) && id.GetInt32() == 2
            && line.GetProperty("pid").GetInt32() != cluster.PidOf(2));
        ProcessTable.Signal(database, Kill);
        await cluster.LineAsync(line => line.TryGetProperty("postgres", out var postgres)
            && postgres.GetProperty("pid").GetInt32() != database);

        Assert.All(["http", "orleans", "gateway", "data"],
            name => Assert.Equal(before.GetProperty(name).GetString(), after.GetProperty(name).GetString()));
        (await cluster.EndAsync()).Expect(0);
    }

    [SkippableFact]
    public async Task Existing_directory_resumes_with_its_brokers_and_records()
    {
        string[] data = ["--data", _directory["c"]];
        string? clusterId;
        await using (var cluster = await RunningCluster.UpAsync(2, data))
        {
            clusterId = cluster.Cluster.GetProperty("clusterId").GetString();
            var added =
                JsonSerializer.Deserialize<JsonElement>(
                    (await RunningProgram.OmqAsync(["cluster", "add", .. data, "--rack", "north", "--json"])).Expect(0).Text);
            Assert.Equal((3, "north"), (added.GetProperty("brokerId").GetInt32(), added.GetProperty("rack").GetString()));
            (await cluster.OmqAsync(["topic", "create", "lines", "--partitions", "3"])).Expect(0);
            (await cluster.OmqAsync(["produce", "lines"], "one\ntwo\nthree\n"u8.ToArray())).Expect(0);
            var second = (await RunningProgram.OmqAsync(["cluster", "up", .. data])).Expect(1);
            Assert.Contains("cluster add", second.Error, StringComparison.Ordinal);
            (await cluster.EndAsync()).Expect(0);
            await ProcessTable.AwaitEndAsync(cluster.Processes.Append(added.GetProperty("pid").GetInt32()));
        }

        (await RunningProgram.OmqAsync(["cluster", "up", "--silos", "2", .. data])).Expect(2);
        await using (var cluster = await RunningCluster.UpAsync(3, data))
        {
            Assert.Equal(clusterId, cluster.Cluster.GetProperty("clusterId").GetString());
            Assert.Equal("north", cluster.Brokers[3].GetProperty("rack").GetString());
            var read = (await cluster.OmqAsync(["consume", "lines", "--max", "3"])).Expect(0);
            Assert.Equal(["one", "three", "two"], read.Lines.Order(StringComparer.Ordinal));
            (await cluster.EndAsync()).Expect(0);
        }
    }

    [SkippableFact]
    public async Task Removed_broker_is_not_started_again()
    {
        string[] data = ["--data", _directory["c"]];
        await using (var cluster = await RunningCluster.UpAsync(3, data))
        {
            (await cluster.OmqAsync(["broker", "drain", "3", "--wait"])).Expect(0);
            ProcessTable.Signal(cluster.PidOf(3), Terminate);
            await EndOfAsync(cluster, 3);
            // The others may not have noticed its death yet.
            var (removal, began) = (await cluster.OmqAsync(["broker", "remove", "3"]), DateTime.UtcNow);
            while (removal.ExitCode != 0 && DateTime.UtcNow - began < TimeSpan.FromSeconds(60))
                removal = await cluster.OmqAsync(["broker", "remove", "3"]);
            removal.Expect(0);
            var removed = await cluster.LineAsync(line => line.TryGetProperty("removed", out _));
            Assert.Equal(3, removed.GetProperty("removed").GetProperty("brokerId").GetInt32());
            (await cluster.EndAsync()).Expect(0);
        }

        await using (var cluster = await RunningCluster.UpAsync(2, data))
        {
            var added =
                JsonSerializer.Deserialize<JsonElement>((await RunningProgram.OmqAsync(["cluster", "add", .. data, "--json"])).Expect(0)
                    .Text);
            Assert.Equal(4, added.GetProperty("brokerId").GetInt32());
            Assert.Equal([1, 2], cluster.Brokers.Keys);
            (await cluster.EndAsync()).Expect(0);
        }
    }

    [SkippableFact]
    public async Task Text_output_ends_with_the_next_command()
    {
        Skip.If(PostgreSqlInstallation.Find() is null, "needs PostgreSQL's server programs");
        await using var cluster = new RunningProgram(Repository.Launcher, ["cluster", "up", "--silos", "1"]);

        Assert.Matches(@"^  export OMQ_SERVER=http://127\.0\.0\.1:\d+$",
            await cluster.LineAsync(line => line.Contains("OMQ_SERVER", StringComparison.Ordinal)));
        Assert.Matches(
            @"^broker 1  pid \d+  http http://127\.0\.0\.1:\d+  kafka 127\.0\.0\.1:\d+  orleans 127\.0\.0\.1:\d+  "
                + @"gateway 127\.0\.0\.1:\d+  log .*/broker-1\.log$",
            await cluster.LineAsync(line => line.StartsWith("broker 1", StringComparison.Ordinal)));

        cluster.Signal(15);
        Assert.DoesNotContain("Password", (await cluster.ExitAsync()).Expect(0).Text, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("--silos", "0")]
    [InlineData("--silos", "many")]
    [InlineData("--racks", "east,,west")]
    [InlineData("3")]
    public async Task Invalid_usage_exits_2_and_starts_nothing(params string[] arguments)
    {
        var outcome = (await RunningProgram.OmqAsync(["cluster", "up", "--data", _directory["c"], .. arguments])).Expect(2);

        Assert.StartsWith("omq: ", outcome.Error, StringComparison.Ordinal);
        Assert.False(Directory.Exists(_directory["c"]), "a refused start writes nothing");
    }

    [Fact]
    public async Task Unresponsive_database_exits_3()
    {
        var outcome = (await RunningProgram.OmqAsync(["cluster", "up", "--postgres", "Host=127.0.0.1;Port=1;Username=omq"])).Expect(3);
        Assert.Contains("127.0.0.1:1", outcome.Error, StringComparison.Ordinal);
    }

    [SkippableFact]
    public async Task Broker_that_fails_to_start_ends_the_cluster_with_the_reason()
    {
        Skip.If(PostgreSqlInstallation.Find() is null, "needs PostgreSQL's server programs");
        var outcome =
            (await RunningProgram.OmqAsync(["cluster", "up", "--silos", "1", "--data", _directory["c"], "--", "--flush",
                "sometimes"])).Expect(1);

        Assert.Contains("--flush sometimes", outcome.Error, StringComparison.Ordinal);
        Assert.Contains(_directory["c/broker-1.log"], outcome.Error, StringComparison.Ordinal);
    }

    // A failed start because of a lost port is reported as well.
    private static async Task<JsonElement> EndOfAsync(RunningCluster cluster, int broker) =>
        (await cluster.LineAsync(line => line.TryGetProperty("ended", out var end)
            && end.GetProperty("pid").GetInt32() == cluster.PidOf(broker))).GetProperty("ended");

    [Fact]
    public async Task Adding_a_broker_without_a_running_cluster_is_refused()
    {
        var outcome = (await RunningProgram.OmqAsync(["cluster", "add", "--data", _directory["c"]])).Expect(3);
        Assert.Contains(_directory["c"], outcome.Error, StringComparison.Ordinal);
    }
}
