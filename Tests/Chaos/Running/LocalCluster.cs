using System.Text.Json;
using OrleansMq.PostgreSql.Servers;

namespace OrleansMq.Tests.Chaos.Running;

/// <summary>A cluster as a user starts it: <c>omq cluster up --restart</c>, over the test's database.</summary>
internal sealed class LocalCluster : RunningCluster
{
    private readonly string _data;
    private readonly StartedProgram _program;

    private LocalCluster(PrivatePostgreSql database, string databaseDirectory, string data, int silos, RunLog log,
        IReadOnlyDictionary<string, string> environment) : base(database, databaseDirectory, log)
    {
        _data = data;
        _program = new StartedProgram(Programs.DotNet,
            [Programs.CommandLine, "cluster", "up", "--silos", $"{silos}", "--json", "--restart", "--data", data,
            "--postgres", database.ConnectionString()], Hear,
            new Dictionary<string, string>(environment) { ["OMQ_BROKER_DLL"] = Programs.Silo });
    }

    /// <summary>Starts the cluster. Returns when all silos serve.</summary>
    /// <param name="data">The directory of the brokers' data.</param>
    /// <param name="silos">The number of silos.</param>
    /// <param name="log">Receives the silos' output.</param>
    /// <param name="settings">Settings of the brokers, as environment variables; null for none.</param>
    /// <returns>Null if the machine has no PostgreSQL.</returns>
    public static async Task<LocalCluster?> StartAsync(string data, int silos, RunLog log,
        IReadOnlyDictionary<string, string>? settings = null)
    {
        if (await StartDatabaseAsync() is not { } database)
            return null;
        var cluster = new LocalCluster(database.Server, database.Directory, data, silos, log, settings ?? new Dictionary<string, string>());
        try
        {
            await cluster.AllAnnouncedAsync(silos);
            return cluster;
        }
        catch
        {
            await cluster.DisposeAsync();
            throw;
        }
    }

    /// <summary>The cluster's name in the database; Orleans' cluster id.</summary>
    public string ClusterId { get; private set; } = "";

    /// <summary>Adds a silo by the command line and returns when it serves.</summary>
    public async Task<Silo> AddSiloAsync(CancellationToken cancellationToken)
    {
        var before = Silos;
        await using var add = new StartedProgram(Programs.DotNet, [Programs.CommandLine, "cluster", "add", "--json", "--data", _data],
            line => Log.Note($"add| {line}"));
        var exitCode = await add.ExitAsync().WaitAsync(StartPatience, cancellationToken);
        if (exitCode != 0)
            throw new InvalidOperationException($"omq cluster add ended with code {exitCode}: {add.Said()}");
        // The announcement comes from another process.
        using var patience = new CancellationTokenSource(StartPatience);
        while (true)
        {
            if (Silos.SingleOrDefault(silo => before.All(other => other.BrokerId != silo.BrokerId)) is { } added)
                return added;
            if (patience.IsCancellationRequested)
                throw new TimeoutException($"The added silo was not announced. {Said()}");
            await Task.Delay(20, cancellationToken);
        }
    }

    public override string Said() => _program.Said();

    public override async ValueTask DisposeAsync()
    {
        // Interrupts the program as a user would. It is killed if it does not end, and so is a silo that survives its parent.
        Signals.TrySend(_program.Id, Signals.Interrupt);
        await Task.WhenAny(_program.ExitAsync(), Task.Delay(TimeSpan.FromSeconds(30)));
        if (!_program.HasExited)
            Log.Tell("omq cluster up did not end within 30 s of Ctrl-C.");
        await _program.DisposeAsync();
        foreach (var silo in Silos)
            Kill(silo);
        await base.DisposeAsync();
    }

    private async Task AllAnnouncedAsync(int silos)
    {
        using var patience = new CancellationTokenSource(StartPatience);
        while (Silos.Count < silos)
        {
            if (_program.HasExited || patience.IsCancellationRequested)
                throw new InvalidOperationException($"{Silos.Count} of {silos} silos were announced. {Said()}");
            await Task.Delay(20);
        }
    }

    /// <summary>Handles the output: one JSON object a silo, repeated after each restart. The silos' logs are files beside their
    /// data.</summary>
    private void Hear(string line)
    {
        Log.Note($"| {line}");
        if (!line.StartsWith('{'))
            return;
        using var said = JsonDocument.Parse(line);
        if (said.RootElement.TryGetProperty("cluster", out var cluster))
            ClusterId = cluster.GetProperty("clusterId").GetString()!;
        if (said.RootElement.TryGetProperty("ended", out var ended) && ended.TryGetProperty("exitCode", out var exitCode)
            && exitCode.ValueKind == JsonValueKind.Number)
            CountEnd(exitCode.GetInt32());
        if (said.RootElement.TryGetProperty("brokerId", out var brokerId))
        {
            Announce(new Silo(brokerId.GetInt32(), said.RootElement.GetProperty("pid").GetInt32(),
                new Uri(said.RootElement.GetProperty("http").GetString()!),
                said.RootElement.GetProperty("data").GetString()!, said.RootElement.TryGetProperty("kafka", out var kafka)
                ? kafka.GetString() : null));
        }
    }
}
