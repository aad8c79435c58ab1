using System.Collections.Concurrent;
using OrleansMq.Api;
using OrleansMq.Brokers;
using OrleansMq.Clusters;
using OrleansMq.Diagnostics;
using OrleansMq.Partitions;
using OrleansMq.State;
using OrleansMq.Storage;
using OrleansMq.Topics;
using OrleansMq.VirtualHosts;

namespace OrleansMq.Grains.Hosting;

/// <summary>
/// This silo's share of the cluster's data: the data directory, its state documents, and the partitions. It is opened before the silo
/// becomes active, by the same code as in the standalone host, and closed when its grains are deactivated.
/// </summary>
internal sealed class SiloBroker : ILifecycleParticipant<ISiloLifecycle>, IAsyncDisposable
{
    /// <summary>The host's name in <see cref="ClusterDescription.Flavour"/> and in the program's ready line.</summary>
    public const string Flavour = "cluster";

    private readonly IFileSystem _files;
    private readonly CancellationTokenSource _stopping = new();
    private readonly SemaphoreSlim _gate = new(1, 1);
    private DataDirectory? _directory;
    private JournaledStateStore? _state;
    private PartitionStore? _partitions;
    // By topic id and number, as grains know them: the partitions that are here, and why others that should be here are not.
    private readonly ConcurrentDictionary<(Guid, int), Partition> _here = new();
    private readonly ConcurrentDictionary<(Guid, int), string> _missing = new();
    private readonly ConcurrentDictionary<string, string> _damaged = new(StringComparer.Ordinal);
    private readonly Lock _hosts = new();
    private Task<VirtualHostOwners>? _virtualHosts;
    private volatile bool _isOpen;

    /// <param name="options">The engine's options.</param>
    /// <param name="cluster">Membership in a replicated cluster; null for none.</param>
    public SiloBroker(BrokerOptions options, BrokerClusterOptions? cluster = null)
    {
        Cluster = cluster;
        _files = options.FileSystem ?? DiskFileSystem.Instance;
        Options = options with
        {
            FileSystem = _files,
            DataDirectory = Path.GetFullPath(options.DataDirectory),
            BootId = options.BootId == Guid.Empty ? KernelBoot.Id : options.BootId,
        };
        if (cluster is null)
            SoleMetadata = new SoleBrokerMetadata(Registration(), DescribeCluster);
    }

    /// <summary>The broker's options.</summary>
    public BrokerOptions Options { get; }

    /// <summary>Membership in a replicated cluster; null for none.</summary>
    public BrokerClusterOptions? Cluster { get; }

    /// <summary>The cluster as this silo calls it, made later.</summary>
    public Func<IBroker>? Outgoing { get; init; }

    /// <summary>The topics and the only broker of a cluster without replication; null in a replicated cluster.</summary>
    public SoleBrokerMetadata? SoleMetadata { get; }

    /// <summary>Defaults and limits for topic creation.</summary>
    public TopicLimits Limits => new(Options.TopicDefaults, Options.DefaultPartitions, Codecs: Options.Codecs);

    /// <summary>Cancelled when the silo begins to stop, which ends long polls.</summary>
    public CancellationToken Stopping => _stopping.Token;

    /// <summary>Whether the directory is open.</summary>
    public bool IsOpen => _isOpen;

    /// <summary>The state documents.</summary>
    public IStateStore State => _state ?? throw NotOpen();

    /// <summary>The partitions on this broker.</summary>
    public PartitionStore Partitions => _partitions ?? throw NotOpen();

    /// <inheritdoc/>
    public void Participate(ISiloLifecycle lifecycle)
    {
        lifecycle.Subscribe(nameof(SiloBroker), ServiceLifecycleStage.RuntimeStorageServices, OpenAsync, _ => CloseAsync());
        lifecycle.Subscribe(nameof(SiloBroker), ServiceLifecycleStage.Active, _ => Task.CompletedTask, _ => _stopping.CancelAsync());
    }

    /// <summary>Opens the directory and recovers its contents; does nothing if it is open already.</summary>
    /// <exception cref="DataDirectoryException">The directory is locked, unwritable, or of a newer format.</exception>
    public async Task OpenAsync(CancellationToken cancellationToken)
    {
        await _gate.WaitAsync(cancellationToken);
        try
        {
            if (!_isOpen)
                await OpenOnceAsync(cancellationToken);
        }
        finally
        {
            _gate.Release();
        }
    }

    /// <summary>Returns the partition with that topic id and number, if it is here.</summary>
    public Partition? Find(Guid topicId, int number) => _here.GetValueOrDefault((topicId, number));

    /// <summary>Returns why one of the topic's partitions is not here; null if the topic has no such partition.</summary>
    public string? WhyMissing(Guid topicId, int number) => _missing.GetValueOrDefault((topicId, number));

    /// <summary>Returns why a topic cannot be served, and the fix; null if it can, or does not exist.</summary>
    public string? WhyDamaged(string topic) => _damaged.GetValueOrDefault(topic);

    /// <summary>Returns the highest partition number of that topic id on this broker plus one; 0 if there is none.</summary>
    public int CountOf(Guid topicId) => _here.Keys.Where(key => key.Item1 == topicId).Select(key => key.Item2 + 1).DefaultIfEmpty(0).Max();

    /// <summary>Returns a partition, creating it if needed.</summary>
    /// <exception cref="BrokerException"><see cref="ErrorCode.KafkaStorageError"/>.</exception>
    public async Task<Partition> OpenAsync(TopicPartition partition, Guid topicId, IReadOnlyDictionary<string, string> configs) =>
        _here[(topicId, partition.Partition)] = await Partitions.GetOrCreateAsync(partition, topicId, Parse(configs));

    /// <summary>Deletes a partition and frees its disk space. A missing partition is not an error.</summary>
    /// <exception cref="BrokerException"><see cref="ErrorCode.KafkaStorageError"/>.</exception>
    public async Task DropAsync(TopicPartition partition, Guid topicId)
    {
        _missing.TryRemove((topicId, partition.Partition), out _);
        if (!_here.ContainsKey((topicId, partition.Partition)))
            return;
        await Partitions.DeleteAsync(partition);
        _here.TryRemove((topicId, partition.Partition), out _);
    }

    /// <summary>Returns the virtual hosts of AMQP, if this broker is the only one. The first call opens them, and creates those of a new
    /// installation.</summary>
    /// <exception cref="IOException">A document cannot be read or written. The next call tries again.</exception>
    public async ValueTask<IVirtualHosts> OpenVirtualHostsAsync()
    {
        Task<VirtualHostOwners> opening;
        lock (_hosts)
        {
            opening = _virtualHosts is null or { IsFaulted: true }
                ? _virtualHosts = Task.Run(() => VirtualHostOwners.OpenAsync(State, Options.Log, AmqpUserRules.Of(Options.Security)))
                : _virtualHosts;
        }
        return await opening;
    }

    /// <summary>Parses the configuration of a topic that sets these keys.</summary>
    /// <exception cref="BrokerException"><see cref="ErrorCode.InvalidConfig"/>.</exception>
    public TopicConfig Parse(IReadOnlyDictionary<string, string> configs) => TopicConfigRules.Parse(configs, Options.TopicDefaults).Next;

    /// <summary>Forgets the damage of a deleted topic.</summary>
    public void Forget(string topic) => _damaged.TryRemove(topic, out _);

    /// <summary>Adds a topic to <see cref="SoleMetadata"/>, if this broker is the only one.</summary>
    public void Announce(TopicState topic) => SoleMetadata?.Set(topic, number => _here.ContainsKey((topic.TopicId, number)));

    /// <summary>Describes the cluster while it has one broker.</summary>
    public ClusterDescription DescribeCluster()
    {
        var offline = Partitions.Partitions.Count(partition => partition.OfflineReason is not null);
        var online = Partitions.Partitions.Count - offline;
        return new ClusterDescription((_directory ?? throw NotOpen()).ClusterId, Flavour,
            [new BrokerDescription(Options.BrokerId.Value, LocalBroker.Version, online, offline + _missing.Count, _directory.Path)]);
    }

    /// <summary>Writes a line to the engine's log.</summary>
    public void Log(EngineLogLevel level, string message, Exception? exception = null) => Options.Log.Write(level, message, exception);

    /// <summary>Closes the directory, unless the silo's stop has done so.</summary>
    public async ValueTask DisposeAsync()
    {
        await CloseAsync();
        _stopping.Dispose();
    }

    private BrokerRegistration Registration() => new()
    {
        BrokerId = Options.BrokerId.Value,
        Version = LocalBroker.Version,
        DataDirectory = Options.DataDirectory,
    };

    /// <summary>Checks the broker and the cluster of the data directory, before it is opened.</summary>
    /// <exception cref="DataDirectoryException">It belongs to another broker or cluster, or cannot be read.</exception>
    public Task CheckDirectoryAsync(CancellationToken cancellationToken) => Task.Run(() => DataDirectory.CheckOwner(_files,
        Options.DataDirectory, Options.BrokerId, Cluster?.ClusterId), cancellationToken);

    private async Task OpenOnceAsync(CancellationToken cancellationToken)
    {
        try
        {
            _directory = await Task.Run(() => DataDirectory.Open(_files, Options.DataDirectory, Options.BrokerId, Cluster?.ClusterId),
                cancellationToken);
            if (Cluster is not null)
            {
                // The topics are in the cluster's database, which may not be reachable yet. Delete nothing until they are known.
                _partitions = await PartitionStore.OpenAsync(Options, _ => KeepEverything, cancellationToken: cancellationToken);
                // No cursor begins before its partition is a replica: until then it would lead by itself.
                SetPorts();
                _isOpen = true;
                return;
            }
            _state = await Task.Run(() => _directory.OpenState(Options.Log), cancellationToken);
            var stored = await StoredTopics.ReadAsync(_state, Options);
            _partitions = await PartitionStore.OpenAsync(Options, stored.FindConfig, stored.Lists, cancellationToken);
            await ProducerIds.MendAsync(_state, _partitions.HighestProducerId, Options.Log);
            // Completes or undoes what a crash interrupted. From then on the grains own the topics.
            TakeOver(await LocalTopics.OpenAsync(_state, Options, _partitions, stored, SoleMetadata), stored);
            SetPorts();
            _partitions.BeginCursors();
            _isOpen = true;
        }
        catch
        {
            await CloseAsync();
            throw;
        }
    }

    private void SetPorts()
    {
        if (Outgoing is not { } broker)
            return;
        Partitions.Ports.DeadLetters = new DeadLetterPublisher(broker, Options.Codecs, Options.Log, Options.TimeProvider);
        Partitions.Ports.Broker = broker;
    }

    private void TakeOver(LocalTopics topics, StoredTopics stored)
    {
        foreach (var partition in Partitions.Partitions)
            _here[(partition.TopicId, partition.TopicPartition.Partition)] = partition;
        foreach (var topic in topics.Served)
        {
            for (var number = 0; number < topic.Partitions.Count; number++)
            {
                if (topic.Partitions[number] is null)
                    _missing[(topic.State.TopicId, number)] = topics.MissingReason(new TopicPartition(topic.State.Name, number));
            }
        }
        foreach (var name in stored.Actions.Keys)
        {
            if (topics.WhyNot(name) is (ErrorCode.KafkaStorageError, var reason))
                _damaged[name] = reason;
        }
    }

    private async Task CloseAsync()
    {
        _isOpen = false;
        await CloseVirtualHostsAsync();
        if (Interlocked.Exchange(ref _partitions, null) is { } partitions)
            await partitions.DisposeAsync();
        if (Interlocked.Exchange(ref _state, null) is { } state)
            await state.DisposeAsync();
        Interlocked.Exchange(ref _directory, null)?.Dispose();
    }

    private async Task CloseVirtualHostsAsync()
    {
        Task<VirtualHostOwners>? opened;
        lock (_hosts)
            opened = _virtualHosts;
        if (opened is null)
            return;
        await opened.ContinueWith(static _ => { }, TaskScheduler.Default);
        if (opened.IsCompletedSuccessfully)
            await opened.Result.DisposeAsync();
    }

    private static TopicConfig KeepEverything { get; } = TopicConfig.Default with { RetentionMs = -1, RetentionBytes = -1 };

    private static InvalidOperationException NotOpen() => new("The data directory is not open: the silo has not started, or has stopped.");
}
