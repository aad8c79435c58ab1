using System.Collections.Concurrent;
using System.Net;
using System.Net.Sockets;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;
using OrleansMq.Brokers;
using OrleansMq.Compression;
using OrleansMq.Grains;
using OrleansMq.Grains.Hosting;
using OrleansMq.Grains.Partitions;
using OrleansMq.Grains.Replication;
using OrleansMq.Replication;
using OrleansMq.Topics;

namespace OrleansMq.Tests.Cluster;

/// <summary>Brokers of a replicated cluster in this process, over real ports and a real database. Partitions are made by the test, without a catalogue.</summary>
internal sealed class ReplicatedCluster : IAsyncDisposable
{
    private readonly TempDirectory _data = new();
    private readonly string _database;
    private readonly Func<BrokerClusterOptions, BrokerClusterOptions> _configure;
    private readonly KnownPartitions _partitions = new();
    private readonly ConcurrentDictionary<int, IHost> _hosts = new();

    private ReplicatedCluster(string database, Func<BrokerClusterOptions, BrokerClusterOptions>? configure) =>
        (_database, _configure) = (database, configure ?? (options => options));

    /// <summary>The brokers that run.</summary>
    public IEnumerable<int> Running => _hosts.Keys;

    /// <summary>Brokers that were told that they are declared dead.</summary>
    public ConcurrentBag<int> DeclaredDead { get; } = [];

    public static async Task<ReplicatedCluster> StartAsync(string database, int brokers = 3, Func<BrokerClusterOptions, BrokerClusterOptions>? configure = null)
    {
        var cluster = new ReplicatedCluster(database, configure);
        try
        {
            await cluster.StartAsync(1);
            await Task.WhenAll(Enumerable.Range(2, brokers - 1).Select(cluster.StartAsync));
            foreach (var broker in cluster.Running)
                await Wait.UntilAsync(() => cluster.Get<ClusterMembership>(broker).Brokers.Silos.Count == brokers, $"broker {broker} sees all");
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

    /// <summary>Starts a broker, over the directory that it had.</summary>
    public async Task StartAsync(int broker)
    {
        var builder = Host.CreateApplicationBuilder();
        builder.Logging.ClearProviders();
        builder.Services.AddSingleton<IReplicaSpecs>(new SpecsOf(_partitions, broker));
        var (silo, gateway) = (FreePort(), FreePort());
        builder.UseOrleans(host => host.AddOrleansMq(options => options with
        {
            BrokerId = new BrokerId(broker),
            DataDirectory = Path.Combine(_data.Path, $"{broker}"),
            Codecs = StandardCodecs.All,
            MinFreeBytes = 0,
        }, _configure(new BrokerClusterOptions
        {
            PostgreSql = _database,
            Endpoints = new SiloEndpoints(IPAddress.Loopback, silo, gateway),
            WatchProcesses = false,
            Exit = (_, _) => DeclaredDead.Add(broker),
        })));
        var started = builder.Build();
        await started.StartAsync();
        _hosts[broker] = started;
    }

    /// <summary>Creates a partition's state and its replicas, as the catalogue does.</summary>
    public async Task<TestPartition> CreateAsync(string topic, int partition, IReadOnlyDictionary<string, string>? configs, params int[] replicas)
    {
        var key = new ReplicaKey(Guid.CreateVersion7(), partition);
        var config = TopicConfigRules.Parse(configs ?? new Dictionary<string, string>(), TopicConfig.Default).Next;
        _partitions.All[key] = (new ReplicaSpec(topic, config), replicas);
        var first = Running.First();
        await Get<IPartitionStates>(first).CreateAsync(key, PartitionState.Create(key.TopicId, [.. replicas]));
        return new TestPartition(this, key, new TopicPartition(topic, partition));
    }

    /// <summary>Stops a broker in good order.</summary>
    public async Task StopAsync(int broker)
    {
        _hosts.TryRemove(broker, out var host);
        await host!.StopAsync();
        await DisposeAsync(host);
    }

    /// <summary>The others declare a broker dead while it still runs; then it is ended without grace. For the others that is a kill, and for a moment it is
    /// a leader that does not know that it is not one any more.</summary>
    public async Task KillAsync(int broker)
    {
        var address = Get<ILocalSiloDetails>(broker).SiloAddress;
        _hosts.TryRemove(broker, out var host);
        var declared = Get<IClusterMembershipService>(Running.First()).TryKill(address);
        Assert.True(await declared.WaitAsync(Wait.Deadline));
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

    private sealed class KnownPartitions
    {
        public ConcurrentDictionary<ReplicaKey, (ReplicaSpec Spec, int[] Replicas)> All { get; } = new();
    }

    private sealed class SpecsOf(KnownPartitions partitions, int broker) : IReplicaSpecs
    {
        public ReplicaSpec? Find(ReplicaKey key) =>
            partitions.All.TryGetValue(key, out var found) && found.Replicas.Contains(broker) ? found.Spec : null;
    }
}

/// <summary>A partition of a <see cref="ReplicatedCluster"/>.</summary>
internal sealed class TestPartition(ReplicatedCluster cluster, ReplicaKey key, TopicPartition name)
{
    public ReplicaKey Key => key;

    public TopicPartition Name => name;

    /// <summary>Its grain, called from a broker.</summary>
    public IPartitionGrain Grain(int from) => cluster.Get<IGrainFactory>(from).GetGrain<IPartitionGrain>(GrainKeys.Partition(key.TopicId, key.Partition));

    /// <summary>The grain's side for other brokers.</summary>
    public IPartitionLeaderGrain Leader(int from) =>
        cluster.Get<IGrainFactory>(from).GetGrain<IPartitionLeaderGrain>(GrainKeys.Partition(key.TopicId, key.Partition));

    /// <summary>A broker's replica; null where it holds none.</summary>
    public Replica? ReplicaOn(int broker) => cluster.Get<SiloReplicas>(broker).Manager.TryGet(key, out var replica) ? replica : null;

    /// <summary>The brokers whose replica leads.</summary>
    public int[] Leaders => [.. cluster.Running.Where(broker => ReplicaOn(broker) is { Role: ReplicaRole.Leader }).Order()];

    /// <summary>The stored state.</summary>
    public async Task<StoredPartitionState> StateAsync() => (await cluster.Get<IPartitionStates>(cluster.Running.First()).ReadAsync(key))!;

    /// <summary>Appends until it is acknowledged, as a client that retries; errors that are not to be retried fail.</summary>
    public Task<long> AppendAsync(int from, string value, Acks acks = Acks.All) => AppendAsync(from, Shared.TestBatches.Of(value), acks);

    /// <summary>Appends until it is acknowledged, as a client that retries; errors that are not to be retried fail. From a broker that is gone: from
    /// another.</summary>
    public async Task<long> AppendAsync(int from, byte[] batch, Acks acks = Acks.All)
    {
        var began = DateTime.UtcNow;
        while (true)
        {
            var result = await TryAppendAsync(cluster.Running.Contains(from) ? from : cluster.Running.First(), batch, acks);
            if (result.Error == ErrorCode.None)
                return result.BaseOffset;
            Assert.True(result.Error.Action() == ErrorAction.Retry && DateTime.UtcNow - began < Wait.Deadline, $"{result.Error}: {result.Message}");
            await Task.Delay(10);
        }
    }

    /// <summary>Appends once; a call without an answer is an unknown outcome, as the broker over grains makes of it.</summary>
    public async Task<ProduceResult> TryAppendAsync(int from, byte[] batch, Acks acks = Acks.All)
    {
        try
        {
            return await Grain(from).AppendAsync(batch, acks);
        }
        catch (Exception unanswered) when (unanswered is TimeoutException or OrleansException)
        {
            return ProduceResult.Failed(ErrorCode.RequestTimedOut, unanswered.Message);
        }
    }

    /// <summary>Returns when somebody leads and all replicas are in sync.</summary>
    public Task AllInSyncAsync() => Wait.UntilAsync(() => Leaders is [var leader] && ReplicaOn(leader)?.State is { } state
        && state.Isr.Length == state.Replicas.Length, $"all replicas of {Name} in sync");

    /// <summary>All records, through the grain.</summary>
    public async Task<List<(long Offset, string Value)>> ReadAllAsync(int from)
    {
        var read = new List<(long Offset, string Value)>();
        var began = DateTime.UtcNow;
        while (true)
        {
            using var result = await Grain(from).ReadAsync(new PartitionRead(read.Count));
            if (result.Error != ErrorCode.None)
            {
                Assert.True(result.Error.Action() == ErrorAction.Retry && DateTime.UtcNow - began < Wait.Deadline, $"{result.Error}: {result.Message}");
                await Task.Delay(10);
                continue;
            }
            if (result.Records.IsEmpty)
                return read;
            read.AddRange(Shared.TestBatches.Read(result.Records));
        }
    }
}

/// <summary>Waits for conditions.</summary>
internal static class Wait
{
    /// <summary>For what happens in milliseconds, on a machine that is busy.</summary>
    public static readonly TimeSpan Deadline = TimeSpan.FromSeconds(60);

    public static Task UntilAsync(Func<bool> condition, string what) => UntilAsync(() => Task.FromResult(condition()), what);

    public static async Task UntilAsync(Func<Task<bool>> condition, string what)
    {
        var began = DateTime.UtcNow;
        while (!await condition())
        {
            Assert.True(DateTime.UtcNow - began < Deadline, $"not in time: {what}");
            await Task.Delay(5);
        }
    }
}
