using System.Collections.Concurrent;
using System.Net;
using System.Net.Sockets;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;
using OrleansMq.Brokers;
using OrleansMq.Clusters;
using OrleansMq.Compression;
using OrleansMq.Grains.Hosting;
using OrleansMq.Grains.Replication;
using OrleansMq.PostgreSql.Schema;
using OrleansMq.Replication;
using OrleansMq.Tests.PostgreSql.Server;

namespace OrleansMq.Tests.Cluster.Catalogue;

/// <summary>Brokers of a replicated cluster in this process, over real ports and a real database, as users have them.</summary>
internal sealed class CatalogueCluster : IAsyncDisposable
{
    /// <summary>For what happens in milliseconds, on a machine that is busy.</summary>
    private static readonly TimeSpan Deadline = TimeSpan.FromSeconds(60);

    private readonly TempDirectory _data = new();
    private readonly ConcurrentDictionary<int, IHost> _hosts = new();
    private readonly string _database;

    private CatalogueCluster(string database) => _database = database;

    /// <summary>How to connect to the cluster's database.</summary>
    public string Database => _database;

    /// <summary>The brokers that run.</summary>
    public IEnumerable<int> Running => _hosts.Keys.Order();

    public static async Task<CatalogueCluster> StartAsync(PostgreSqlFixture postgres, int brokers = 3)
    {
        var database = await postgres.DatabaseAsync();
        await SchemaMigration.ApplyAsync(database);
        var cluster = new CatalogueCluster(database);
        try
        {
            await cluster.StartAsync(1);
            await Task.WhenAll(Enumerable.Range(2, brokers - 1).Select(broker => cluster.StartAsync(broker)));
            await cluster.SettleAsync();
            return cluster;
        }
        catch
        {
            await cluster.DisposeAsync();
            throw;
        }
    }

    /// <summary>A service of a broker's silo.</summary>
    public T Get<T>(int broker) where T : notnull => _hosts[broker].Services.GetRequiredService<T>();

    /// <summary>The broker API as a service on that broker's silo has it.</summary>
    public IBroker Broker(int broker) => Get<IBroker>(broker);

    /// <summary>What a broker knows of the cluster.</summary>
    public ClusterImage ImageOf(int broker) => Get<IClusterMetadata>(broker).Image;

    /// <summary>The replicas of a broker.</summary>
    public IReadOnlyCollection<Replica> ReplicasOn(int broker) => Get<SiloReplicas>(broker).Manager.Replicas;

    /// <summary>The names of a broker's partition directories.</summary>
    public string[] DirectoriesOf(int broker) =>
        [.. Directory.GetDirectories(Path.Combine(_data.Path, $"{broker}", "logs")).Select(path => Path.GetFileName(path)!).Order(StringComparer.Ordinal)];

    /// <summary>Starts a broker, over the directory that it had.</summary>
    public async Task StartAsync(int broker, bool autoRebalance = false, string? rack = null)
    {
        var builder = Host.CreateApplicationBuilder();
        builder.Logging.ClearProviders();
        var (silo, gateway) = (FreePort(), FreePort());
        builder.UseOrleans(host => host.AddOrleansMq(options => options with
        {
            BrokerId = new BrokerId(broker),
            DataDirectory = Path.Combine(_data.Path, $"{broker}"),
            Codecs = StandardCodecs.All,
            MinFreeBytes = 0,
        }, new BrokerClusterOptions
        {
            PostgreSql = _database,
            Endpoints = new SiloEndpoints(IPAddress.Loopback, silo, gateway),
            Rack = rack,
            Http = $"http://127.0.0.1:{8000 + broker}",
            WatchProcesses = false,
            AutoRebalance = autoRebalance,
            RebalanceSettleTime = TimeSpan.FromMilliseconds(500),
            Exit = (_, _) => { },
        }));
        var started = builder.Build();
        await started.StartAsync();
        _hosts[broker] = started;
    }

    /// <summary>Returns when every broker has an image with exactly those that run alive.</summary>
    public Task SettleAsync() => UntilAsync(() => Running.All(broker =>
        ImageOf(broker).Brokers.Values.Where(other => other.IsAlive).Select(other => other.Registration.BrokerId).SequenceEqual(Running)), "everybody knows everybody");

    /// <summary>Stops a broker in good order.</summary>
    public async Task StopAsync(int broker)
    {
        _hosts.TryRemove(broker, out var host);
        await host!.StopAsync();
        await DisposeAsync(host);
    }

    /// <summary>The others declare a broker dead; then it is ended without grace.</summary>
    public async Task KillAsync(int broker)
    {
        var address = Get<ILocalSiloDetails>(broker).SiloAddress;
        _hosts.TryRemove(broker, out var host);
        Assert.True(await Get<IClusterMembershipService>(Running.First()).TryKill(address).WaitAsync(Deadline));
        _ = Task.Run(async () =>
        {
            try
            {
                await host!.StopAsync(new CancellationToken(canceled: true));
            }
            catch (Exception)
            {
                // It is meant to end badly.
            }
            await DisposeAsync(host!);
        });
    }

    public static async Task UntilAsync(Func<bool> condition, string what)
    {
        var began = DateTime.UtcNow;
        while (!condition())
        {
            Assert.True(DateTime.UtcNow - began < Deadline, $"not in time: {what}");
            await Task.Delay(10);
        }
    }

    public static async Task UntilAsync(Func<Task<bool>> condition, string what)
    {
        var began = DateTime.UtcNow;
        while (!await condition())
        {
            Assert.True(DateTime.UtcNow - began < Deadline, $"not in time: {what}");
            await Task.Delay(10);
        }
    }

    public async ValueTask DisposeAsync()
    {
        await Task.WhenAll(_hosts.Values.Select(async host =>
        {
            using var deadline = new CancellationTokenSource(TimeSpan.FromSeconds(10));
            await host.StopAsync(deadline.Token);
            await DisposeAsync(host);
        }));
        try
        {
            _data.Dispose();
        }
        catch (IOException)
        {
            // A broker that was killed may still be ending.
        }
    }

    private static async Task DisposeAsync(IHost host)
    {
        if (host is IAsyncDisposable disposable)
            await disposable.DisposeAsync();
    }

    private static int FreePort()
    {
        using var listener = new TcpListener(IPAddress.Loopback, 0);
        listener.Start();
        return ((IPEndPoint)listener.LocalEndpoint).Port;
    }
}
