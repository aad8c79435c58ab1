using System.Collections.Concurrent;
using System.Net;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;
using Npgsql;
using OrleansMq.Api;
using OrleansMq.Brokers;
using OrleansMq.Clusters;
using OrleansMq.Compression;
using OrleansMq.Grains.Hosting;
using OrleansMq.Grains.Partitions;
using OrleansMq.Grains.Replication;
using OrleansMq.Grains.Topics;
using OrleansMq.Hosting;
using OrleansMq.PostgreSql.Schema;
using OrleansMq.Records;
using OrleansMq.Replication;
using OrleansMq.Tests.Engine.Brokers;
using OrleansMq.Tests.PostgreSql.Server;
using OrleansMq.Tests.Shared;
using OrleansMq.Topics;

namespace OrleansMq.Tests.Cluster;

/// <summary>Brokers of a replicated cluster in this process, over real ports and a real database. Tests create topics as users do, or
/// single partitions that the catalogue does not know.</summary>
internal sealed class ReplicatedCluster : IAsyncDisposable
{
    private readonly TempDirectory _data = new();
    private readonly ConcurrentDictionary<ReplicaKey, (ReplicaSpec Spec, int[] Replicas)> _partitions = new();
    private readonly ConcurrentDictionary<int, IHost> _hosts = new();
    private readonly ConcurrentDictionary<int, Task> _ending = new();

    private readonly Func<int, BrokerClusterOptions, BrokerClusterOptions> _configure;
    private readonly Action<IBrokerBuilder> _extend;
    private readonly Action<ISiloBuilder>? _silo;
    private readonly Func<BrokerOptions, BrokerOptions> _options;

    private ReplicatedCluster(string database, Func<int, BrokerClusterOptions, BrokerClusterOptions> configure,
        Action<IBrokerBuilder> extend, Action<ISiloBuilder>? silo, Func<BrokerOptions, BrokerOptions> options) =>
        (Database, _configure, _extend, _silo, _options) = (database, configure, extend, silo, options);

    /// <summary>The codecs of a broker that starts, by its number.</summary>
    public Func<int, CompressionCodecs> CodecsOf { get; set; } = static _ => StandardCodecs.All;

    /// <summary>Fails calls of grains, by the method's name; null: none.</summary>
    public Func<string, Exception?>? FailCall { get; set; }

    /// <summary>What the brokers log.</summary>
    public RecordedLog Log { get; } = new();

    /// <summary>The connection string of the cluster's database.</summary>
    public string Database { get; }

    /// <summary>The running brokers.</summary>
    public IEnumerable<int> Running => _hosts.Keys.Order();

    /// <summary>Starts brokers that know each other, over a database of their own.</summary>
    /// <param name="postgres">The server.</param>
    /// <param name="configure">Changes the options of a broker, by its number; null for no change.</param>
    /// <param name="extend">Adds gateways to each broker; null for none.</param>
    /// <param name="silo">Adds to each silo; null for nothing.</param>
    /// <param name="options">Changes the engine's options of each broker; null for no change.</param>
    /// <param name="brokers">How many.</param>
    public static async Task<ReplicatedCluster> StartAsync(PostgreSqlFixture postgres,
        Func<int, BrokerClusterOptions, BrokerClusterOptions>? configure = null, Action<IBrokerBuilder>? extend = null,
        Action<ISiloBuilder>? silo = null, Func<BrokerOptions, BrokerOptions>? options = null, int brokers = 3)
    {
        var database = await postgres.DatabaseAsync();
        await SchemaMigration.ApplyAsync(database);
        var cluster = new ReplicatedCluster(database, configure ?? (static (_, options) => options), extend ?? (static _ => { }), silo,
            options ?? (static options => options));
        try
        {
            await cluster.StartAsync(1);
            await Task.WhenAll(Enumerable.Range(2, brokers - 1).Select(cluster.StartAsync));
            await cluster.SettleAsync();
            return cluster;
        }
        catch
        {
            await cluster.DisposeAsync();
            throw;
        }
    }

    /// <summary>Returns a service of a broker's silo.</summary>
    public T Get<T>(int broker) where T : notnull => _hosts[broker].Services.GetRequiredService<T>();

    /// <summary>Returns the broker API of a service on that broker's silo.</summary>
    public IBroker Broker(int broker) => Get<IBroker>(broker);

    /// <summary>Returns the cluster image of a broker.</summary>
    public ClusterImage ImageOf(int broker) => Get<IClusterMetadata>(broker).Image;

    /// <summary>Returns the replicas of a broker.</summary>
    public IReadOnlyCollection<Replica> ReplicasOn(int broker) => Get<SiloReplicas>(broker).Manager.Replicas;

    /// <summary>Returns the names of a broker's partition directories.</summary>
    public string[] DirectoriesOf(int broker) =>
        [.. Directory.GetDirectories(Path.Combine(_data.Path, $"{broker}", "logs")).Select(path => Path.GetFileName(path)!)
            .Order(StringComparer.Ordinal)];

    /// <summary>Starts a broker over its former directory. After a kill it starts as soon as the directory is unlocked.</summary>
    public async Task StartAsync(int broker)
    {
        if (_ending.TryRemove(broker, out var ending))
            await ending.WaitAsync(Wait.Deadline);
        var builder = Host.CreateApplicationBuilder();
        builder.Logging.ClearProviders();
        // Three brokers that stop at once on a busy machine take their time.
        builder.Services.Configure<HostOptions>(static options => options.ShutdownTimeout = 2 * Wait.Deadline);
        builder.Services.AddSingleton<IReplicaSpecs>(services =>
            new SpecsOf(this, broker, services.GetRequiredService<ClusterImageCache>()));
        var (silo, gateway) = (FreePort.Choose(), FreePort.Choose());
        builder.UseOrleans(host =>
        {
            _silo?.Invoke(host);
            host.AddIncomingGrainCallFilter(call => FailCall?.Invoke(call.MethodName) is { } failure ? throw failure : call.Invoke());
            _extend(host.AddOrleansMq(options => _options(options with
            {
                BrokerId = new BrokerId(broker),
                DataDirectory = Path.Combine(_data.Path, $"{broker}"),
                Codecs = CodecsOf(broker),
                Log = Log,
                MinFreeBytes = 0,
            }), _configure(broker, new BrokerClusterOptions
            {
                PostgreSql = Database,
                Endpoints = new SiloEndpoints(IPAddress.Loopback, silo, gateway),
                Http = $"http://127.0.0.1:{8000 + broker}",
                WatchProcesses = false,
                Rehearses = false,
                RebalanceSettleTime = TimeSpan.FromMilliseconds(500),
                AutoLeaderRebalance = false,
                AnswerTimeout =
                    TimeSpan.FromSeconds(8), // A busy broker must not be skipped for an idle one.
                Exit = (_, _) => { },
            })));
        });
        var started = builder.Build();
        try
        {
            await started.StartAsync();
        }
        catch
        {
            await DisposeAsync(started);
            throw;
        }
        _hosts[broker] = started;
        // Partitions made by CreateAsync are in no image, which brings a restarted broker the configuration of its topics.
        foreach (var (key, (spec, _)) in _partitions)
        {
            if (Get<SiloReplicas>(broker).Manager.TryGet(key, out var replica))
                replica.Partition.UpdateConfig(spec.Config);
        }
    }

    /// <summary>Waits until every broker sees all running brokers, and has an image with exactly those alive.</summary>
    public Task SettleAsync() => Wait.UntilAsync(() => Running.All(broker =>
        Get<ClusterMembership>(broker).Brokers.Silos.Keys.Order().SequenceEqual(Running)
        && ImageOf(broker).Brokers.Values.Where(other => other.IsAlive).Select(other => other.Registration.BrokerId)
        .SequenceEqual(Running)),
        "every broker knows all others");

    /// <summary>Creates a partition's state and its replicas, as the catalogue does.</summary>
    public async Task<TestPartition> CreateAsync(string topic, int partition, IReadOnlyDictionary<string, string>? configs,
        params int[] replicas)
    {
        var key = new ReplicaKey(Guid.CreateVersion7(), partition);
        var config = TopicConfigRules.Parse(configs ?? new Dictionary<string, string>(), TopicConfig.Default).Next;
        _partitions[key] = (new ReplicaSpec(topic, config), replicas);
        var first = Running.First();
        await Get<IPartitionStates>(first).CreateAsync(key, PartitionState.Create(key.TopicId, [.. replicas]));
        return new TestPartition(this, key, new TopicPartition(topic, partition));
    }

    /// <summary>Deletes all records of a stopped broker, like a lost disk.</summary>
    public void Wipe(int broker) => Directory.Delete(Path.Combine(_data.Path, $"{broker}"), recursive: true);

    /// <summary>Stops a broker cleanly.</summary>
    public async Task StopAsync(int broker)
    {
        _hosts.TryRemove(broker, out var host);
        using var deadline = new CancellationTokenSource(Wait.Deadline);
        await host!.StopAsync(deadline.Token);
        // Orleans does not tell of a part that has not stopped until then.
        Assert.False(deadline.IsCancellationRequested, $"Broker {broker} has not stopped by itself.");
        await DisposeAsync(host);
    }

    /// <summary>Kills a broker: the others declare it dead while it still runs, and then it ends without a clean stop. For a moment it is a
    /// leader that does not know of its successor.</summary>
    public async Task KillAsync(int broker)
    {
        var address = Get<ILocalSiloDetails>(broker).SiloAddress;
        _hosts.TryRemove(broker, out var host);
        var declared = Get<IClusterMembershipService>(Running.First()).TryKill(address);
        Assert.True(await declared.WaitAsync(Wait.Deadline));
        _ending[broker] = Task.Run(async () =>
        {
            try
            {
                await host!.StopAsync(new CancellationToken(canceled: true));
            }
            catch (Exception)
            {
                // The stop is expected to fail.
            }
            await DisposeAsync(host!);
        });
    }

    public async ValueTask DisposeAsync()
    {
        await Task.WhenAll(_hosts.Values.Select(async host =>
        {
            using var deadline = new CancellationTokenSource(Wait.Deadline);
            await host.StopAsync(deadline.Token);
            await DisposeAsync(host);
        }));
        await Task.WhenAll(_ending.Values).WaitAsync(Wait.Deadline);
        CloseConnections();
        _data.Dispose();
    }

    // Orleans' providers share Npgsql's pool of this connection string, which outlives the silos. The server of a class has a hundred
    // connections for all its clusters.
    private void CloseConnections()
    {
        using var connection = new NpgsqlConnection(ReplicatedSilo.Bounded(Database, new BrokerClusterOptions().ClusterId));
        NpgsqlConnection.ClearPool(connection);
    }

    private static async Task DisposeAsync(IHost host)
    {
        if (host is IAsyncDisposable disposable)
            await disposable.DisposeAsync();
    }

    private sealed class SpecsOf(ReplicatedCluster cluster, int broker, IReplicaSpecs catalogue) : IReplicaSpecs
    {
        public ReplicaSpec? Find(ReplicaKey key) => cluster._partitions.TryGetValue(key, out var found)
            ? found.Replicas.Contains(broker) ? found.Spec : null
            : catalogue.Find(key);

        public bool IsDeleted(Guid topicId) => catalogue.IsDeleted(topicId);
    }
}
