using System.Collections.Concurrent;
using System.Globalization;
using System.Net;
using System.Text.Json;
using OrleansMq.Api;
using OrleansMq.PostgreSql.Servers;
using OrleansMq.Tests.Chaos.Faults;
using OrleansMq.Tests.Chaos.Load;
using OrleansMq.Tests.Chaos.Network;
using OrleansMq.Tests.Chaos.Running;
using OrleansMq.Tests.Chaos.Runs;
using OrleansMq.Tests.Shared;

namespace OrleansMq.Tests.Chaos.Transactions;

/// <summary>Three silos whose Kafka clients reach them through proxies that hold requests back. A silo that ends is restarted.</summary>
internal sealed class TransactionCluster : SupervisedCluster, IBrokersUnderTest
{
    private const int SiloCount = 3;
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(120);

    private static readonly Dictionary<FaultKind, int> Weights = new()
    {
        [FaultKind.KillLeader] = 6,
        [FaultKind.PauseLeader] = 4,
        [FaultKind.StopLeader] = 1,
        [FaultKind.KillTwo] = 1,
        [FaultKind.KillTwice] = 1,
        [FaultKind.CrashDatabase] = 1,
    };

    private readonly ConcurrentBag<KafkaProxy> _proxies = [];
    private readonly FaultInjector _injector;
    private readonly string _data;
    private ClusterClient? _client;

    private TransactionCluster(PrivatePostgreSql database, string databaseDirectory, string data, RunLog log)
        : base(database, databaseDirectory, log)
    {
        _data = data;
        _injector = new FaultInjector(this);
    }

    /// <summary>Starts the cluster. Returns when all silos serve.</summary>
    /// <param name="data">The directory of the brokers' data.</param>
    /// <param name="log">Receives the silos' output.</param>
    /// <param name="delayOf">How long a request is held, by its API key and version.</param>
    /// <returns>Null if the machine has no PostgreSQL.</returns>
    public static async Task<TransactionCluster?> StartAsync(string data, RunLog log, Func<short, short, TimeSpan> delayOf)
    {
        if (await StartDatabaseAsync() is not { } database)
            return null;
        var cluster = await StartedAsync(new TransactionCluster(database.Server, database.Directory, data, log), SiloCount,
            (cluster, brokerId) => cluster.Start(brokerId, delayOf));
        cluster._client = new ClusterClient(cluster.Addresses, TimeSpan.FromSeconds(4));
        return cluster;
    }

    public string Servers => string.Join(',', _proxies.Select(static proxy => proxy.Address).Order(StringComparer.Ordinal));

    public short Replicas => SiloCount;

    public ITransactionCoordinator? Transactions => _client!.Broker.Transactions;

    public string Faults => string.Join(", ", _injector.Done.OrderBy(static kind => kind.Key).Select(static kind =>
        string.Create(CultureInfo.InvariantCulture, $"{kind.Value} {kind.Key}")));

    public async Task BreakAsync(int seed, CancellationToken time, CancellationToken cancellationToken)
    {
        ClusterView[] views = [.. Views()];
        foreach (var fault in FaultPlan.From(seed, Weights))
        {
            await Task.Delay(fault.Before, time).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
            if (time.IsCancellationRequested)
                return;
            var view = views[fault.Choice % views.Length];
            if (await view.TryDescribeAsync(cancellationToken) is not { } partitions)
                continue;
            Log.Tell($"{fault}; leaders {string.Join(',', partitions.Select(static partition => partition.Leader))}");
            await _injector.InjectAsync(fault, partitions, view.IsWell(partitions), cancellationToken);
            if (fault.WaitsForRecovery)
                await WellAsync(cancellationToken);
        }
    }

    public async Task WellAsync(CancellationToken cancellationToken)
    {
        foreach (var view in Views())
            await view.WellAsync(Patience, cancellationToken);
    }

    protected override async ValueTask AfterStopAsync()
    {
        _client?.Dispose();
        foreach (var proxy in _proxies)
            await proxy.DisposeAsync();
    }

    private IEnumerable<ClusterView> Views() =>
        TransactionRun.Topics.Select(topic => new ClusterView(_client!.Broker, topic, Replicas));

    private void Start(int brokerId, Func<short, short, TimeSpan> delayOf)
    {
        var (http, kafka) = (FreePort.Choose(), FreePort.Choose());
        var proxy = new KafkaProxy(kafka, delayOf);
        _proxies.Add(proxy);
        var data = Path.Combine(_data, $"broker-{brokerId}");
        string[] flags =
        [
            Programs.Silo, "--json", "--flavour", "cluster", "--cluster-id", "chaos", "--broker-id", $"{brokerId}", "--data", data,
            "--http", $"127.0.0.1:{http}", "--kafka", $"127.0.0.1:{kafka}", "--kafka-advertised", proxy.Address,
            "--advertised", $"{IPAddress.Loopback}", "--orleans-port", $"127.0.0.1:{FreePort.Choose()}",
            "--gateway-port", $"127.0.0.1:{FreePort.Choose()}", "--min-free-bytes", "33554432",
        ];
        Supervise(brokerId, flags, (line, process) => AnnouncedIn(line, process, brokerId, data),
            new Dictionary<string, string> { ["OMQ_POSTGRES"] = Database.ConnectionString() });
    }

    private static Silo? AnnouncedIn(string line, int process, int brokerId, string data)
    {
        if (!line.StartsWith('{'))
            return null;
        using var said = JsonDocument.Parse(line);
        return said.RootElement.TryGetProperty("http", out var http) ? new Silo(brokerId, process, new Uri(http.GetString()!), data) : null;
    }
}
