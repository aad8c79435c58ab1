using System.Text.Json;
using OrleansMq.PostgreSql.Servers;
using OrleansMq.Tests.Process.Running;

namespace OrleansMq.Tests.ProcessClusters;

/// <summary>A cluster of real processes, run by <c>./omq cluster up --json</c>.</summary>
internal sealed class RunningCluster : IAsyncDisposable
{
    private readonly HashSet<int> _gone = [];

    private RunningCluster(RunningProgram program) => Program = program;

    public RunningProgram Program { get; }

    /// <summary>The first announcements of the cluster, of its database, and of each broker by id.</summary>
    public JsonElement Cluster { get; private set; }
    public JsonElement Postgres { get; private set; }
    public SortedDictionary<int, JsonElement> Brokers { get; } = [];

    /// <summary>All addresses, for <c>--server</c>.</summary>
    public string Servers => string.Join(',', Brokers.Values.Select(broker => broker.GetProperty("http").GetString()));

    /// <summary>All addresses, for Kafka clients.</summary>
    public string Kafka => string.Join(',', Brokers.Values.Select(static broker => broker.GetProperty("kafka").GetString()));

    /// <summary>The directory it lives in.</summary>
    public string Data => Cluster.GetProperty("data").GetString()!;

    /// <summary>Of a secured cluster, the file with the certificate of its authority.</summary>
    public string Authority => Cluster.GetProperty("certificateAuthority").GetString()!;

    /// <summary>Of a secured cluster, the options of commands by which they log in as its administrator.</summary>
    public string[] AsAdmin => ["--ca", Authority, "--user", "admin", "--password-file",
        Cluster.GetProperty("passwordFile").GetString()!];

    /// <summary>All processes of the cluster except the launcher.</summary>
    public IEnumerable<int> Processes => Brokers.Values.Append(Postgres).Select(line => line.GetProperty("pid"))
        .Where(pid => pid.ValueKind == JsonValueKind.Number).Select(pid => pid.GetInt32());

    /// <summary>Starts a cluster and waits until all its brokers serve. Skips the test if the machine has no PostgreSQL.</summary>
    public static async Task<RunningCluster> UpAsync(int silos, params string[] more)
    {
        Skip.If(PostgreSqlInstallation.Find() is null, "needs PostgreSQL's server programs");
        string[] arguments = ["cluster", "up", "--silos", $"{silos}", "--json", .. more];
        var cluster = new RunningCluster(new RunningProgram(Repository.Launcher, arguments));
        try
        {
            await cluster.AwaitAsync(silos);
            return cluster;
        }
        catch
        {
            await cluster.DisposeAsync();
            throw;
        }
    }

    /// <summary>The process id of a broker, as of its start or its last awaited restart.</summary>
    public int PidOf(int broker) => Brokers[broker].GetProperty("pid").GetInt32();

    /// <summary>Kills a broker with SIGKILL.</summary>
    public void Kill(int broker)
    {
        _gone.Add(PidOf(broker));
        ProcessTable.Signal(PidOf(broker), 9);
    }

    /// <summary>Waits until a killed broker serves again, under <c>--restart</c> only.</summary>
    public async Task RestartedAsync(int broker)
    {
        _gone.Add(PidOf(broker));
        Brokers[broker] = await LineAsync(line => line.TryGetProperty("brokerId", out var id) && id.GetInt32() == broker
            && !_gone.Contains(line.GetProperty("pid").GetInt32()));
    }

    /// <summary>Waits until every partition has a leader and every replica is in sync.</summary>
    public Task HealthyAsync() => UntilAsync(() => AskAsync("cluster", "status"),
        static status => status.GetProperty("underReplicatedPartitions").GetArrayLength() == 0
        && status.GetProperty("offlinePartitions").GetArrayLength() == 0,
        "every replica to be in sync");

    /// <summary>Waits until the topic is there, every partition is led by its first replica and all replicas are in sync. Returns the
    /// leaders. A queue's topic may follow the answer to its declaration.</summary>
    public async Task<List<int>> LedAsync(string topic)
    {
        var led = (await UntilAsync(() => DescribedAsync(topic),
            static described => described is { } there && there.GetProperty("partitions").EnumerateArray().All(static one =>
            one.GetProperty("leader").GetInt32() == one.GetProperty("replicas")[0].GetInt32()
            && one.GetProperty("inSyncReplicas").GetArrayLength() == one.GetProperty("replicas").GetArrayLength()),
            "the first replicas to lead"))!.Value;
        return [.. led.GetProperty("partitions").EnumerateArray().Select(static one => one.GetProperty("leader").GetInt32())];
    }

    // Null while there is no such topic.
    private async Task<JsonElement?> DescribedAsync(string topic)
    {
        var outcome = await OmqAsync(["topic", "describe", topic, "--json"]);
        return outcome.ExitCode != 0 && outcome.Error.Contains("(UnknownTopicOrPartition)", StringComparison.Ordinal)
            ? null : JsonSerializer.Deserialize<JsonElement>(outcome.Expect(0).Text);
    }

    /// <summary>Of a secured cluster, waits until the rules of every running broker allow a principal an operation, or refuse it.</summary>
    public async Task DecidedAsync(bool isAllowed, string principal, string operation, string resource)
    {
        foreach (var broker in Brokers.Values.Where(broker => !_gone.Contains(broker.GetProperty("pid").GetInt32())))
            await DecidedAsync(isAllowed, principal, operation, resource,
                ["--server", broker.GetProperty("http").GetString()!, .. AsAdmin]);
    }

    /// <summary>Waits until the rules of one broker allow a principal an operation, or refuse it. A broker that changes rules waits two
    /// seconds for the others to read them, and not longer.</summary>
    /// <param name="isAllowed">Whether it is to be allowed.</param>
    /// <param name="principal">The principal.</param>
    /// <param name="operation">The operation.</param>
    /// <param name="resource">The resource, as the command takes it.</param>
    /// <param name="asAdmin">Options of commands that name the broker, and log in as its administrator.</param>
    public static Task DecidedAsync(bool isAllowed, string principal, string operation, string resource, string[] asAdmin) =>
        UntilAsync(async () => JsonSerializer.Deserialize<JsonElement>((await RunningProgram.OmqAsync(
            ["acl", "explain", principal, operation, resource, "--json", .. asAdmin])).Expect(0).Text),
            decision => decision.GetProperty("isAllowed").GetBoolean() == isAllowed,
            $"{operation} of {resource} to be {(isAllowed ? "allowed" : "refused")} to {principal}");

    /// <summary>Polls until the answer satisfies the condition, and returns it.</summary>
    public static async Task<T> UntilAsync<T>(Func<Task<T>> ask, Func<T, bool> isWanted, string what)
    {
        using var deadline = new CancellationTokenSource(RunningProgram.Patience);
        while (true)
        {
            var answer = await ask();
            if (isWanted(answer))
                return answer;
            Assert.False(deadline.IsCancellationRequested, $"Timed out waiting for {what}: {answer}");
            await Task.Delay(200, CancellationToken.None);
        }
    }

    /// <summary>Waits for an output line with a JSON object that satisfies the condition.</summary>
    public async Task<JsonElement> LineAsync(Func<JsonElement, bool> wanted) =>
        JsonSerializer.Deserialize<JsonElement>(await Program.LineAsync(line => line.StartsWith('{')
            && wanted(JsonSerializer.Deserialize<JsonElement>(line))));

    /// <summary>Runs a client command against all brokers to completion.</summary>
    public Task<Outcome> OmqAsync(string[] arguments, byte[]? input = null) =>
        RunningProgram.OmqAsync([.. arguments, "--server", Servers], input: input);

    /// <summary>Runs a client command and returns its output as JSON.</summary>
    public async Task<JsonElement> AskAsync(params string[] arguments) =>
        JsonSerializer.Deserialize<JsonElement>((await OmqAsync([.. arguments, "--json"])).Expect(0).Text);

    /// <summary>Reads the values of all stored records, which it counts by the end offsets.</summary>
    /// <param name="topic">The topic.</param>
    /// <param name="login">Options that log in.</param>
    public async Task<string[]> StoredAsync(string topic, params string[] login)
    {
        var ends = (await AskAsync(["topic", "describe", topic, .. login])).GetProperty("partitions").EnumerateArray()
            .Sum(static partition => partition.GetProperty("highWatermark").GetInt64());
        return (await OmqAsync(["consume", topic, "--max", $"{ends}", .. login])).Expect(0).Lines;
    }

    /// <summary>Signals the launcher to end, and waits until it has.</summary>
    public async Task<Outcome> EndAsync(int signal = 15)
    {
        Program.Signal(signal);
        return await Program.ExitAsync();
    }

    public ValueTask DisposeAsync() => Program.DisposeAsync();

    private async Task AwaitAsync(int silos)
    {
        Cluster = (await LineAsync(line => line.TryGetProperty("cluster", out _))).GetProperty("cluster");
        Postgres = (await LineAsync(line => line.TryGetProperty("postgres", out _))).GetProperty("postgres");
        for (var broker = 1; broker <= silos; broker++)
            Brokers[broker] = await LineAsync(line => line.TryGetProperty("brokerId", out var id) && id.GetInt32() == broker);
    }
}
