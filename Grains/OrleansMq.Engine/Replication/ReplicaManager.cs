using System.Collections.Concurrent;
using System.Diagnostics.CodeAnalysis;
using OrleansMq.Brokers;
using OrleansMq.Partitions;
using OrleansMq.Replication.Links;

namespace OrleansMq.Replication;

/// <summary>Times and bounds of replication.</summary>
public sealed record ReplicationOptions
{
    /// <summary>Of <see cref="CatchUpLiveShare"/>.</summary>
    public const int DefaultCatchUpLiveShare = 25;

    /// <summary>How long a follower may be unreachable or behind before it leaves the ISR: 10 seconds, Kafka's
    /// <c>replica.lag.time.max.ms</c> has 30.</summary>
    public TimeSpan ReplicaLagTimeMax { get; init; } = TimeSpan.FromSeconds(10);
    /// <summary>For how long an acknowledgement of the in-sync followers proves leadership: 2 seconds.</summary>
    public TimeSpan LeaderLease { get; init; } = TimeSpan.FromSeconds(2);
    /// <summary>Bytes that this broker sends in a second, at most, to replicas that catch up and that nobody waits for: those that are not
    /// in sync, of partitions where <c>min.insync.replicas</c> others are. 0: no limit.</summary>
    public long CatchUpMaxBytesPerSecond { get; init; }
    /// <summary>Percent of its time, 1 to 100, that a broker spends at most on replicas that catch up and that nobody waits for, as their
    /// leader and again as their follower, while records of clients are appended on it. 100: they never give way. Without such records they
    /// have all of it.</summary>
    public int CatchUpLiveShare { get; init; } = DefaultCatchUpLiveShare;
    /// <summary>How long an append with <c>acks=all</c> waits for its replicas before its outcome is called unknown: 30 seconds.</summary>
    public TimeSpan AppendTimeout { get; init; } = TimeSpan.FromSeconds(30);
}

/// <summary>All replicas of one broker: opens them over the broker's partitions, carries their messages, and keeps time for them. Thread
/// safe.</summary>
public sealed partial class ReplicaManager : IAsyncDisposable
{
    private readonly PartitionStore _store;
    private readonly BrokerOptions _options;
    private readonly IReplicationHost _host;
    private readonly ReplicaLinks _links;
    private readonly ReplicaPorts _ports;
    private readonly TimeSpan _tick;
    private readonly long _catchUpMaxBytesPerSecond;
    private readonly ConcurrentDictionary<ReplicaKey, Replica> _replicas = new();
    private readonly ConcurrentDictionary<int, ReplicaInbox> _inboxes = new();
    private readonly ReplicaInbox _catchUpInbox;
    private readonly Lock _createLock = new();
    private readonly Lock _tickLock = new();
    private int _ticks;
    private ITimer? _timer;
    private volatile bool _started;
    private volatile bool _disposed;

    /// <summary>Takes up the partitions that are in the store.</summary>
    public ReplicaManager(PartitionStore store, BrokerOptions options, ReplicationOptions replication, IReplicationHost host)
    {
        (_store, _options, _host) = (store, options, host);
        _links = new ReplicaLinks(host, options.TimeProvider, options.Log, replication.CatchUpLiveShare) { OnAnswers = OnAnswers };
        _ports = new ReplicaPorts(options.BrokerId.Value, replication, host, options.TimeProvider, options.Log, _links);
        _catchUpInbox = new ReplicaInbox(store.Ports, TakeBundle, options.TimeProvider, _links.Pace);
        _catchUpMaxBytesPerSecond = replication.CatchUpMaxBytesPerSecond;
        _links.CatchUp.Limit(_catchUpMaxBytesPerSecond);
        // Four chances within a heartbeat, which is a quarter of the lease.
        _tick = TimeSpan.FromMilliseconds(Math.Clamp(replication.LeaderLease.TotalMilliseconds / 16, 5, 200));
        Parallel.ForEach(store.Partitions,
            partition => Take(new ReplicaKey(partition.TopicId, partition.TopicPartition.Partition), partition,
            isConfigKnown: false));
    }

    /// <summary>All replicas.</summary>
    public IReadOnlyCollection<Replica> Replicas => (IReadOnlyCollection<Replica>)_replicas.Values;

    /// <summary>Begins to answer, to push and to keep time.</summary>
    public void Start()
    {
        _started = true;
        _timer = _options.TimeProvider.CreateTimer(static manager => ((ReplicaManager)manager!).OnTick(), this, _tick, _tick);
    }

    /// <summary>The replica, if this broker holds it.</summary>
    public bool TryGet(ReplicaKey key, [NotNullWhen(true)] out Replica? replica) => _replicas.TryGetValue(key, out replica);

    /// <summary>The replica; made where there is none, and <see cref="IReplicationHost.FindSpec"/> says that it is to be here.</summary>
    /// <returns>Null where it is not to be here.</returns>
    /// <exception cref="BrokerException"><see cref="ErrorCode.KafkaStorageError"/>; <see cref="ErrorCode.LeaderNotAvailable"/>:
    /// retry.</exception>
    public Replica? GetOrCreate(ReplicaKey key)
    {
        if (_replicas.TryGetValue(key, out var found))
            return found;
        // Asked under the lock: who made replicas wait here must not be held to what was so when it began to wait. See SettledReplicas.
        lock (_createLock)
            return _host.FindSpec(key) is { } spec ? GetOrCreate(key, spec) : null;
    }

    /// <summary>The replica; made where there is none, whatever the host says.</summary>
    /// <exception cref="BrokerException"><see cref="ErrorCode.KafkaStorageError"/>; <see cref="ErrorCode.LeaderNotAvailable"/>:
    /// retry.</exception>
    public Replica GetOrCreate(ReplicaKey key, ReplicaSpec spec)
    {
        if (_replicas.TryGetValue(key, out var found))
            return found;
        var name = new TopicPartition(spec.Topic, key.Partition);
        lock (_createLock)
        {
            ObjectDisposedException.ThrowIf(_disposed, this);
            if (_replicas.TryGetValue(key, out found))
                return found;
            if (!_store.TryGet(name, out var partition) || partition.TopicId == key.TopicId)
                return Take(key, _store.GetOrCreate(name, key.TopicId, spec.Config), isConfigKnown: true);
            // The topic was deleted and created again. What is known to be deleted is about to go; what nobody speaks of any more, since
            // this broker slept meanwhile, is set aside.
            if (!partition.IsDeleted && !_host.IsDeleted(partition.TopicId))
                Replace(new ReplicaKey(partition.TopicId, key.Partition), () => SetAsideAsync(partition));
        }
        throw new BrokerException(ErrorCode.LeaderNotAvailable, $"{name} of a deleted topic is being set aside, or removed. Retry.");
    }

    /// <summary>
    /// All replicas, those among them that were just being made: whatever is made by <see cref="GetOrCreate(ReplicaKey)"/> after this call
    /// has begun is made by what <see cref="IReplicationHost.FindSpec"/> says from then on. So who stops naming a replica there, and then
    /// drops all of these that are of no use, has dropped them for good. Waits for one that is being made.
    /// </summary>
    public IReadOnlyCollection<Replica> SettledReplicas()
    {
        lock (_createLock)
            return Replicas;
    }

    /// <summary>Ends a replica and frees its disk: its topic was deleted, or it was reassigned away. One that is gone is fine.</summary>
    /// <exception cref="BrokerException"><see cref="ErrorCode.KafkaStorageError"/>.</exception>
    public async Task DropAsync(ReplicaKey key)
    {
        if (_replacing.TryGetValue(key, out var replacing))
            await replacing.ConfigureAwait(false);
        if (!_replicas.TryGetValue(key, out var replica))
            return;
        replica.Drop("it is removed from this broker");
        await _store.DeleteAsync(replica.TopicPartition).ConfigureAwait(false);
        _replicas.TryRemove(new KeyValuePair<ReplicaKey, Replica>(key, replica));
    }

    /// <summary>Takes a bundle that another broker's <see cref="IReplicationHost.DeliverAsync"/> carries; returns the answers.</summary>
    public ValueTask<ReadOnlyMemory<byte>> ReceiveAsync(int fromBroker, ReadOnlyMemory<byte> bundle)
    {
        if (!_started || _disposed)
            return new(ReadOnlyMemory<byte>.Empty);
        var inbox = BundleFormat.MarksOf(bundle.Span).HasFlag(BundleMarks.CatchUp) ? _catchUpInbox : _inboxes.GetOrAdd(fromBroker,
            static (_, manager) => new ReplicaInbox(manager._store.Ports, manager.TakeBundle, manager._options.TimeProvider, pace: null),
            this);
        return new(inbox.ReceiveAsync(fromBroker, bundle));
    }

    /// <summary>Somebody was declared dead or came back: leaders look at their ISR at once.</summary>
    public void OnMembershipChanged() =>
        ThreadPool.UnsafeQueueUserWorkItem(static manager => manager.OnTick(all: true), this, preferLocal: false);

    /// <summary>Replicas catch up no faster from now on than this, or than <see cref="ReplicationOptions.CatchUpMaxBytesPerSecond"/> where
    /// that is less.</summary>
    /// <param name="maxBytesPerSecond">Bytes that this broker sends in a second; 0: no limit but its own.</param>
    public void LimitCatchUp(long maxBytesPerSecond) => _links.CatchUp.Limit(
        maxBytesPerSecond > 0 && _catchUpMaxBytesPerSecond > 0 ? Math.Min(maxBytesPerSecond, _catchUpMaxBytesPerSecond)
        : Math.Max(maxBytesPerSecond, _catchUpMaxBytesPerSecond));

    /// <summary>Stops all roles at once; the partitions stay open.</summary>
    public async ValueTask DisposeAsync()
    {
        lock (_createLock)
        {
            if (_disposed)
                return;
            _disposed = true;
        }
        if (_timer is not null)
            await _timer.DisposeAsync().ConfigureAwait(false);
        foreach (var replica in _replicas.Values)
            replica.Drop("the broker stops");
        await _links.CloseAsync().ConfigureAwait(false);
        await Task.WhenAll(_replacing.Values).ConfigureAwait(false);
    }

    private Replica Take(ReplicaKey key, Partition partition, bool isConfigKnown)
    {
        try
        {
            ReplicaIncarnation.Settle(partition, _options, isConfigKnown);
        }
        catch (Exception fault) when (StorageFaults.IsStorageFault(fault))
        {
            partition.GoOffline(StorageFaults.Describe(partition.Log!.Directory, fault), fault);
        }
        var replica = new Replica(key, partition, _ports);
        _replicas[key] = replica;
        return replica;
    }

    private void OnTick(bool all = false)
    {
        // A tick that takes longer than the timer's period is not run twice.
        if (_disposed || !_tickLock.TryEnter())
            return;
        try
        {
            // Those that have nothing to do come every third time, which leaves them two chances within a lease.
            var turn = _ticks++;
            foreach (var (key, replica) in _replicas)
            {
                if (all || (turn + key.Partition) % 3 == 0 || !replica.IsQuiet)
                    replica.Tick();
                if (replica.IsDamaged)
                    Replace(replica.Key, () => RepairAsync(replica));
            }
        }
        finally
        {
            _tickLock.Exit();
        }
    }

    private void TakeBundle(BundleReply reply, ReadOnlyMemory<byte> bundle)
    {
        var reader = new BundleReader(bundle);
        while (reader.TryRead(out var key, out var message))
            Find(key, message)?.Receive(message, reply);
    }

    private void OnAnswers(int broker, ReadOnlyMemory<byte> answers)
    {
        if (answers.IsEmpty)
            return;
        var reader = new BundleReader(answers);
        while (reader.TryRead(out var key, out var message))
            Find(key, message)?.Receive(message, reply: null);
    }

    // A leader pushes to whom the stored state names: what is not here yet is made.
    private Replica? Find(ReplicaKey key, ReplicationMessage message)
    {
        if (_replicas.TryGetValue(key, out var replica))
            return replica;
        // Looked at before the lock, too: a push of a partition that is not to be here waits for none that is being made.
        if (message is not Push || _host.FindSpec(key) is not { } spec)
            return null;
        try
        {
            return GetOrCreate(key);
        }
        catch (BrokerException fault)
        {
            _ports.Warn(key, $"Partition {spec.Topic}-{key.Partition} could not be made for its leader: {fault.Message}");
            return null;
        }
    }
}
