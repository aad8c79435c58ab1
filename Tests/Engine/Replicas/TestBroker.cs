using OrleansMq.Brokers;
using OrleansMq.Compression;
using OrleansMq.Partitions;
using OrleansMq.Replication;
using OrleansMq.Storage;
using OrleansMq.Tests.Engine.Partitions;
using OrleansMq.Topics;

namespace OrleansMq.Tests.Engine.Replicas;

/// <summary>A broker with its replicas, on an in-memory disk or in a directory.</summary>
internal sealed class TestBroker : IReplicationHost
{
    public static readonly Guid Boot = new("22223333-4444-5555-6666-777788889999");
    private readonly MemoryCluster _cluster;
    private readonly ReplicationOptions _options;
    private ReplicaManager? _manager;
    private PartitionStore? _store;

    public TestBroker(MemoryCluster cluster, int id, ReplicationOptions options, string? directory = null)
    {
        (_cluster, Id, _options) = (cluster, id, options);
        Files = directory is null ? new MemoryFileSystem() : new DiskFileSystem();
        Data = directory ?? "/data";
        Files.CreateDirectory(Data);
        Files.FlushDirectory(Path.GetDirectoryName(Data)!);
    }

    public int Id { get; }
    /// <summary>The data directory.</summary>
    public string Data { get; }
    public IFileSystem Files { get; set; }
    public Guid BootId { get; set; } = Boot;
    public bool IsUp { get; private set; }
    public LogLines Lines { get; } = new();
    public WallClock Clock { get; } = new();
    public ReplicaManager Manager => _manager ?? throw new InvalidOperationException("The broker is not up.");
    public PartitionStore Store => _store ?? throw new InvalidOperationException("The broker is not up.");

    public async Task StartAsync()
    {
        var options = new BrokerOptions
        {
            DataDirectory = Data,
            BrokerId = new BrokerId(Id),
            FileSystem = Files,
            Log = Lines,
            Codecs = StandardCodecs.All,
            MinFreeBytes = 0,
            AppendThreads = 3,
            BootId = BootId,
            TimeProvider = Clock,
            CompactionCheckInterval = TimeSpan.FromHours(1), // A test compacts explicitly.
        };
        _store = await PartitionStore.OpenAsync(options, _ => TopicConfig.Default);
        _manager = new ReplicaManager(_store, options, _options, this);
        foreach (var replica in _manager.Replicas)
        {
            if (FindSpec(replica.Key) is { } spec)
                replica.Partition.UpdateConfig(spec.Config);
        }
        _cluster.Brokers[Id] = this;
        IsUp = true;
        _manager.Start();
    }

    /// <summary>Stops cleanly.</summary>
    public async Task StopAsync()
    {
        IsUp = false;
        await Manager.DisposeAsync();
        await Store.DisposeAsync();
    }

    /// <summary>Kills the process: nothing it does from here on reaches the disk or the network.</summary>
    public async Task KillAsync()
    {
        IsUp = false;
        Files = ((MemoryFileSystem)Files).ProcessKill();
        await Manager.DisposeAsync();
        await Store.DisposeAsync();
    }

    /// <summary>Cuts the machine's power.</summary>
    public async Task CutPowerAsync(int seed)
    {
        IsUp = false;
        Files = ((MemoryFileSystem)Files).PowerCut(new Random(seed));
        BootId = Guid.NewGuid();
        await Manager.DisposeAsync();
        await Store.DisposeAsync();
    }

    public ValueTask<ReadOnlyMemory<byte>> ReceiveAsync(int from, ReadOnlyMemory<byte> bundle) =>
        IsUp ? Manager.ReceiveAsync(from, bundle) : throw new IOException($"Broker {Id} is down.");

    public Task<StoredPartitionState?> ReadStateAsync(ReplicaKey key, CancellationToken cancellationToken) =>
        Task.Run(() => IsUp ? _cluster.Read(key) : throw new IOException("Down."), cancellationToken);

    public Task<string> WriteStateAsync(ReplicaKey key, PartitionState state, string etag, CancellationToken cancellationToken) =>
        Task.Run(() => IsUp ? _cluster.Write(key, state, etag) : throw new IOException("Down."), cancellationToken);

    public Task<ReadOnlyMemory<byte>> DeliverAsync(int broker, ReadOnlyMemory<byte> bundle, CancellationToken cancellationToken) =>
        IsUp ? _cluster.DeliverAsync(this, broker, bundle, cancellationToken) : throw new IOException("Down.");

    public bool IsAlive(int broker) => _cluster.Brokers.TryGetValue(broker, out var found) && found.IsUp;

    /// <summary>Returns the spec of a replica that is missing here; by default the cluster's.</summary>
    public Func<ReplicaKey, ReplicaSpec?>? Spec { get; set; }

    /// <summary>The topics that it knows to be deleted.</summary>
    public HashSet<Guid> Deleted { get; } = [];

    public ReplicaSpec? FindSpec(ReplicaKey key) => Spec is { } spec ? spec(key) : _cluster.Specs.GetValueOrDefault(key);

    public bool IsDeleted(Guid topicId) => Deleted.Contains(topicId);

    public void OnLeadershipChanged(Replica replica)
    {
    }

    /// <summary>The machine's clock, which may be set forward. Elapsed time and timers are not.</summary>
    public sealed class WallClock : TimeProvider
    {
        private long _ahead;

        /// <summary>How far it was set forward.</summary>
        public TimeSpan Ahead
        {
            get => new(Volatile.Read(ref _ahead));
            set => Volatile.Write(ref _ahead, value.Ticks);
        }

        public override DateTimeOffset GetUtcNow() => base.GetUtcNow() + Ahead;
    }
}
