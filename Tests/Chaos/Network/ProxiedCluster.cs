using System.Collections.Concurrent;
using System.Net;
using System.Text.Json;
using OrleansMq.PostgreSql.Servers;
using OrleansMq.Tests.Chaos.Running;
using OrleansMq.Tests.Shared;

namespace OrleansMq.Tests.Chaos.Network;

/// <summary>Silos that reach each other only through proxies, so that the links between them can be broken. Silo N listens on 127.0.2.N and
/// advertises 127.0.1.N, where its proxy listens. Clients and the database are reached directly. A silo that ends is restarted.</summary>
internal sealed class ProxiedCluster : SupervisedCluster
{
    private readonly string _data;
    private readonly bool _servesAmqp;
    private readonly ConcurrentDictionary<(int, int), Link> _links = new();
    private readonly List<SiloProxy> _proxies = [];

    private ProxiedCluster(PrivatePostgreSql database, string databaseDirectory, string data, RunLog log, bool servesAmqp)
        : base(database, databaseDirectory, log) => (_data, _servesAmqp) = (data, servesAmqp);

    /// <summary>Starts the cluster. Returns when all silos serve.</summary>
    /// <param name="data">The directory of the brokers' data.</param>
    /// <param name="silos">The number of silos.</param>
    /// <param name="log">Receives the silos' output.</param>
    /// <param name="servesAmqp">Whether the silos have a port for AMQP, the same after a restart.</param>
    /// <returns>Null if the machine has no PostgreSQL.</returns>
    public static async Task<ProxiedCluster?> StartAsync(string data, int silos, RunLog log, bool servesAmqp = false)
    {
        if (await StartDatabaseAsync() is not { } database)
            return null;
        // A proxy that listens late has its silo declared dead, which then restarts.
        return await StartedAsync(new ProxiedCluster(database.Server, database.Directory, data, log, servesAmqp), silos,
            static (cluster, brokerId) => cluster.Supervise(brokerId));
    }

    /// <summary>The link between two silos, for both directions.</summary>
    public Link Between(int one, int other) => _links.GetOrAdd((Math.Min(one, other), Math.Max(one, other)), static _ => new Link());

    /// <summary>All links of this cluster.</summary>
    public IEnumerable<Link> Links =>
        Silos.SelectMany(one => Silos.Where(other => other.BrokerId > one.BrokerId).Select(other => Between(one.BrokerId, other.BrokerId)));

    /// <summary>The data directory of a broker, before it runs as well.</summary>
    public static string DataOf(string data, int brokerId) => Path.Combine(data, $"broker-{brokerId}");

    protected override void BeforeStop()
    {
        foreach (var link in _links.Values)
            link.Heal();
    }

    protected override async ValueTask AfterStopAsync()
    {
        foreach (var proxy in _proxies)
            await proxy.DisposeAsync();
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
            .. _servesAmqp ? (string[])["--amqp", $"127.0.0.1:{FreePort.Choose()}"] : [],
        ];
        Supervise(brokerId, flags, (line, process) => AnnouncedIn(line, process, brokerId),
            new Dictionary<string, string> { ["OMQ_POSTGRES"] = Database.ConnectionString() });
    }

    private Silo? AnnouncedIn(string line, int process, int brokerId)
    {
        if (!line.StartsWith('{'))
            return null;
        using var said = JsonDocument.Parse(line);
        return said.RootElement.TryGetProperty("http", out var http)
            ? new Silo(brokerId, process, new Uri(http.GetString()!), DataOf(_data, brokerId),
                Amqp: said.RootElement.TryGetProperty("amqp", out var amqp) ? amqp.GetString() : null) : null;
    }

    /// <summary>The link of a connection to this silo from the silo whose process owns it. An unowned connection gets a link of its
    /// own.</summary>
    private Link LinkOf(IPEndPoint from, IPEndPoint to, int brokerId)
    {
        var owner = SocketOwner.Find(from, to, Processes.Values.Select(silo => silo.Id));
        var source = Processes.FirstOrDefault(silo => silo.Value.Id == owner);
        return source.Value is null ? new Link() : Between(source.Key, brokerId);
    }
}
