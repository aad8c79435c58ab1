using System.Collections.Concurrent;
using System.Net;
using System.Text.Json;
using OrleansMq.Api;
using OrleansMq.PostgreSql.Servers;
using OrleansMq.Tests.Chaos.Load;
using OrleansMq.Tests.Chaos.Running;
using OrleansMq.Tests.Shared;

namespace OrleansMq.Tests.Chaos.Network;

/// <summary>Silos that reach each other only through proxies, so that the links between them can be broken. Silo N listens on 127.0.2.N and
/// advertises 127.0.1.N, where its proxy listens. Clients and the database are reached directly. A silo that ends is restarted.</summary>
internal sealed class ProxiedCluster : RunningCluster
{
    private readonly string _data;
    private readonly ConcurrentDictionary<(int, int), Link> _links = new();
    private readonly ConcurrentDictionary<int, StartedProgram> _running = new();
    private readonly List<SiloProxy> _proxies = [];
    private readonly List<Task> _supervising = [];
    private readonly CancellationTokenSource _stop = new();

    private ProxiedCluster(PrivatePostgreSql database, string databaseDirectory, string data, RunLog log)
        : base(database, databaseDirectory, log) => _data = data;

    /// <summary>Starts the cluster. Returns when all silos serve.</summary>
    /// <returns>Null if the machine has no PostgreSQL.</returns>
    public static async Task<ProxiedCluster?> StartAsync(string data, int silos, RunLog log)
    {
        if (await StartDatabaseAsync() is not { } database)
            return null;
        var cluster = new ProxiedCluster(database.Server, database.Directory, data, log);
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
            // A proxy that listens late has its silo declared dead, which then restarts.
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

    /// <summary>The link between two silos, for both directions.</summary>
    public Link Between(int one, int other) => _links.GetOrAdd((Math.Min(one, other), Math.Max(one, other)), static _ => new Link());

    /// <summary>All links of this cluster.</summary>
    public IEnumerable<Link> Links =>
        Silos.SelectMany(one => Silos.Where(other => other.BrokerId > one.BrokerId).Select(other => Between(one.BrokerId, other.BrokerId)));

    /// <summary>The data directory of a broker, before it runs as well.</summary>
    public static string DataOf(string data, int brokerId) => Path.Combine(data, $"broker-{brokerId}");

    public override string Said() => string.Join('\n', _running.Select(silo => $"broker {silo.Key}:\n{silo.Value.Said()}"));

    public override async ValueTask DisposeAsync()
    {
        await _stop.CancelAsync();
        foreach (var link in _links.Values)
            link.Heal();
        foreach (var silo in _running.Values)
        {
            Signals.TrySend(silo.Id, Signals.Terminate);
            Signals.TrySend(silo.Id, Signals.Continue);
        }
        await Task.WhenAny(Task.WhenAll(_running.Values.Select(silo => silo.ExitAsync())), Task.Delay(TimeSpan.FromSeconds(30)));
        foreach (var silo in _running.Values)
            await silo.DisposeAsync();
        await Task.WhenAll(_supervising);
        foreach (var proxy in _proxies)
            await proxy.DisposeAsync();
        await base.DisposeAsync();
    }

    private void Supervise(int brokerId)
    {
        var (silo, gateway, http) = (FreePort.Choose(), FreePort.Choose(), FreePort.Choose());
        _proxies.Add(new SiloProxy(new IPEndPoint(IPAddress.Parse($"127.0.1.{brokerId}"), silo),
            new IPEndPoint(IPAddress.Parse($"127.0.2.{brokerId}"), silo),
            (from, to) => LinkOf(from, to, brokerId)));
        string[] flags =
        [
            Programs.Silo, "--json", "--flavour", "cluster", "--cluster-id", "chaos", "--broker-id", $"{brokerId}", "--data",
            DataOf(_data, brokerId), "--http", $"127.0.0.1:{http}",
            "--advertised", $"127.0.1.{brokerId}", "--orleans-port", $"127.0.2.{brokerId}:{silo}", "--gateway-port",
            $"127.0.2.{brokerId}:{gateway}", "--min-free-bytes", "33554432",
        ];
        _supervising.Add(Task.Run(() => SuperviseAsync(brokerId, flags)));
    }

    private async Task SuperviseAsync(int brokerId, string[] flags)
    {
        var environment = new Dictionary<string, string> { ["OMQ_POSTGRES"] = Database.ConnectionString() };
        while (!_stop.IsCancellationRequested)
        {
            var process = 0;
            var announced = new TaskCompletionSource<int>(TaskCreationOptions.RunContinuationsAsynchronously);
            await using var silo = new StartedProgram(Programs.DotNet, flags, line => Hear(brokerId, announced.Task, line), environment);
            process = silo.Id;
            announced.SetResult(process);
            _running[brokerId] = silo;
            var exitCode = await silo.ExitAsync();
            CountEnd(exitCode);
            Log.Note($"broker {brokerId}, process {process}, ended with code {exitCode}");
            await Task.WhenAny(Task.Delay(TimeSpan.FromMilliseconds(250), _stop.Token));
        }
    }

    private void Hear(int brokerId, Task<int> process, string line)
    {
        Log.Note($"{brokerId}| {line}");
        if (!line.StartsWith('{'))
            return;
        using var said = JsonDocument.Parse(line);
        if (said.RootElement.TryGetProperty("http", out var http))
            Announce(new Silo(brokerId, process.GetAwaiter().GetResult(), new Uri(http.GetString()!), DataOf(_data, brokerId)));
    }

    /// <summary>The link of a connection to this silo from the silo whose process owns it. An unowned connection gets a link of its
    /// own.</summary>
    private Link LinkOf(IPEndPoint from, IPEndPoint to, int brokerId)
    {
        var owner = SocketOwner.Find(from, to, _running.Values.Select(silo => silo.Id));
        var source = _running.FirstOrDefault(silo => silo.Value.Id == owner);
        return source.Value is null ? new Link() : Between(source.Key, brokerId);
    }
}
