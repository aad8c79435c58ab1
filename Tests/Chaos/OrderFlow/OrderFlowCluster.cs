using System.Collections.Concurrent;
using OrleansMq.Api;
using OrleansMq.PostgreSql.Servers;
using OrleansMq.Tests.Chaos.Load;
using OrleansMq.Tests.Chaos.Running;
using OrleansMq.Tests.Shared;

namespace OrleansMq.Tests.Chaos.OrderFlow;

/// <summary>Silos that run the sample with the order flow over one database. A silo that ends is restarted.</summary>
internal sealed class OrderFlowCluster : RunningCluster
{
    private static readonly TimeSpan RestartPause = TimeSpan.FromMilliseconds(250);

    private readonly ConcurrentDictionary<int, StartedProgram> _running = new();
    private readonly List<Uri> _apis = [];
    private readonly List<Task> _supervising = [];
    private readonly CancellationTokenSource _stop = new();
    private readonly string _data;

    private OrderFlowCluster(PrivatePostgreSql database, string databaseDirectory, string data, RunLog log)
        : base(database, databaseDirectory, log) => _data = data;

    /// <summary>The addresses of the sample's API, one a silo.</summary>
    public IReadOnlyList<Uri> Apis => _apis;

    /// <summary>Starts the cluster. Returns when all brokers are active.</summary>
    /// <returns>Null if the machine has no PostgreSQL.</returns>
    public static async Task<OrderFlowCluster?> StartAsync(string data, int silos, RunLog log)
    {
        if (await StartDatabaseAsync() is not { } database)
            return null;
        var cluster = new OrderFlowCluster(database.Server, database.Directory, data, log);
        try
        {
            foreach (var brokerId in Enumerable.Range(1, silos))
                cluster.Supervise(brokerId);
            using var patience = new CancellationTokenSource(StartPatience);
            while (cluster.Silos.Count < silos)
            {
                if (patience.IsCancellationRequested)
                    throw new TimeoutException($"{cluster.Silos.Count} of {silos} silos serve. {cluster.Said()}");
                await Task.Delay(20, CancellationToken.None);
            }
            using var client = new ClusterClient(cluster.Addresses, TimeSpan.FromSeconds(4));
            while ((await client.Broker.DescribeClusterAsync(patience.Token)).Brokers.Count(static broker =>
                broker.State == BrokerState.Active) < silos)
                await Task.Delay(100, patience.Token);
            return cluster;
        }
        catch
        {
            await cluster.DisposeAsync();
            throw;
        }
    }

    public override string Said() => string.Join('\n', _running.Select(silo => $"broker {silo.Key}:\n{silo.Value.Said()}"));

    public override async ValueTask DisposeAsync()
    {
        await _stop.CancelAsync();
        foreach (var silo in _running.Values)
        {
            Signals.TrySend(silo.Id, Signals.Terminate);
            Signals.TrySend(silo.Id, Signals.Continue);
        }
        await Task.WhenAny(Task.WhenAll(_running.Values.Select(silo => silo.ExitAsync())), Task.Delay(TimeSpan.FromSeconds(30)));
        foreach (var silo in _running.Values)
            await silo.DisposeAsync();
        await Task.WhenAll(_supervising);
        await base.DisposeAsync();
    }

    private void Supervise(int brokerId)
    {
        var (http, api) = (new Uri($"http://127.0.0.1:{FreePort.Choose()}"), new Uri($"http://127.0.0.1:{FreePort.Choose()}"));
        _apis.Add(api);
        var announced = new Silo(brokerId, ProcessId: 0, http, Path.Combine(_data, $"broker-{brokerId}"));
        string[] flags =
        [
            Programs.OrderFlow, $"--BrokerId={brokerId}", $"--Data={announced.Data}", $"--PostgreSql={Database.ConnectionString()}",
            $"--SiloPort={FreePort.Choose()}", $"--GatewayPort={FreePort.Choose()}", $"--BrokerPort={http.Port}", $"--urls={api}",
            "--WakeUpDelay=00:00:05", "--CleanUpDelay=00:00:05",
        ];
        _supervising.Add(Task.Run(() => SuperviseAsync(announced, flags)));
    }

    private async Task SuperviseAsync(Silo announced, string[] flags)
    {
        while (!_stop.IsCancellationRequested)
        {
            var process = new TaskCompletionSource<int>(TaskCreationOptions.RunContinuationsAsynchronously);
            await using var silo = new StartedProgram(Programs.DotNet, flags, line => Hear(announced, process.Task, line));
            _running[announced.BrokerId] = silo;
            process.SetResult(silo.Id);
            var exitCode = await silo.ExitAsync();
            CountEnd(exitCode);
            Log.Note($"broker {announced.BrokerId}, process {silo.Id}, ended with code {exitCode}");
            await Task.WhenAny(Task.Delay(RestartPause, _stop.Token));
        }
    }

    private void Hear(Silo announced, Task<int> process, string line)
    {
        Log.Note($"{announced.BrokerId}| {line}");
        if (line.Contains("Application started", StringComparison.Ordinal))
            Announce(announced with { ProcessId = process.GetAwaiter().GetResult() });
    }
}
