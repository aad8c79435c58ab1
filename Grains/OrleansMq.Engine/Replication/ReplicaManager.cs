using System.Collections.Concurrent;
using System.Diagnostics.CodeAnalysis;
using OrleansMq.Partitions;
using OrleansMq.Replication.Links;

namespace OrleansMq.Replication;

/// <summary>Times and limits of replication.</summary>
public sealed record ReplicationOptions
{
    /// <summary>The default of <see cref="CatchUpLiveShare"/>.</summary>
    public const int DefaultCatchUpLiveShare = 25;

    /// <summary>How long a follower may be unreachable or behind before it leaves the ISR: 1 to 2,147,483,647 milliseconds. Default 10
    /// seconds; that of Kafka's <c>replica.lag.time.max.ms</c> is 30.</summary>
    public TimeSpan ReplicaLagTimeMax { get; init; } = TimeSpan.FromSeconds(10);
    /// <summary>The leader lease: how long acknowledgements of the in-sync followers prove leadership: 1 to 2,147,483,647 milliseconds.
    /// Default 2 seconds.</summary>
    public TimeSpan LeaderLease { get; init; } = TimeSpan.FromSeconds(2);
    /// <summary>The most bytes per second that this broker sends to catching-up replicas that no append waits for. Those are not in sync,
    /// and their partitions have <c>min.insync.replicas</c> without them. 0, the default: no limit.</summary>
    public long CatchUpMaxBytesPerSecond { get; init; }
    /// <summary>The most of its time, in percent from 1 to 100, that a broker spends on such replicas while client records are appended on
    /// it. It counts as leader and again as follower. Without such appends there is no limit. 100: catch-up never gives way to
    /// appends. Default 25.</summary>
    public int CatchUpLiveShare { get; init; } = DefaultCatchUpLiveShare;
    /// <summary>How long an append with <c>acks=all</c> waits for its replicas before its outcome counts as unknown: 1 to 2,147,483,647
    /// milliseconds. Default 30 seconds.</summary>
    public TimeSpan AppendTimeout { get; init; } = TimeSpan.FromSeconds(30);
}

/// <summary>All replicas of one broker: opens them over the broker's partitions, delivers their messages, and runs their timer. Thread
/// safe.</summary>
internal sealed partial class ReplicaManager : IAsyncDisposable
{
    private readonly PartitionStore _store;
    private readonly PartitionStoreOptions _options;
    private readonly IReplicationHost _host;
    private readonly ReplicaLinks _links;
    private readonly ReplicaPorts _ports;
    private readonly TimeSpan _tick;
    private readonly long _catchUpMaxBytesPerSecond;
    private readonly ConcurrentDictionary<ReplicaKey, Replica> _replicas = new();
    private readonly ConcurrentDictionary<int, ReplicaInbox> _inboxes = new();
    private readonly ReplicaInbox _catchUpInbox;
    private readonly StripedLock<ReplicaKey> _createLocks = new();
    // Replicas that are about to be created.
    private readonly ConcurrentDictionary<ReplicaKey, bool> _creating = new();
    // Replicas whose first push of an epoch waits to be taken.
    private readonly ConcurrentDictionary<ReplicaKey, bool> _firsts = new();
    private readonly Lock _tickLock = new();
    private int _ticks;
    private ITimer? _timer;
    private volatile bool _started;
    private volatile bool _disposed;

    /// <summary>Opens replicas of the partitions in the store.</summary>
    public ReplicaManager(PartitionStore store, PartitionStoreOptions options, ReplicationOptions replication, IReplicationHost host)
    {
        (_store, _options, _host) = (store, options, host);
        _links = new ReplicaLinks(host, options.TimeProvider, options.Log, replication.CatchUpLiveShare) { OnAnswers = OnAnswers };
        _ports = new ReplicaPorts(options.BrokerId.Value, replication, host, options.TimeProvider, options.Log, _links);
        _catchUpInbox = new ReplicaInbox(store.Ports, TakeBundle, options.TimeProvider, _links.Pace);
        _catchUpMaxBytesPerSecond = replication.CatchUpMaxBytesPerSecond;
        _links.CatchUp.Limit(_catchUpMaxBytesPerSecond);
        // Four ticks within a heartbeat interval, which is a quarter of the lease.
        _tick = TimeSpan.FromMilliseconds(Math.Clamp(replication.LeaderLease.TotalMilliseconds / 16, 5, 200));
        Task.WaitAll(store.Partitions.Select(partition => store.Ports.Creation.RunAsync(() =>
            Take(new ReplicaKey(partition.TopicId, partition.TopicPartition.Partition), partition, isConfigKnown: false))),
            CancellationToken.None);
    }

    /// <summary>All replicas.</summary>
    public IReadOnlyCollection<Replica> Replicas => (IReadOnlyCollection<Replica>)_replicas.Values;

    /// <summary>Begins to answer, to push and to run the timer.</summary>
    public void Start()
    {
        _started = true;
        _timer = _options.TimeProvider.CreateTimer(static manager => ((ReplicaManager)manager!).OnTick(), this, _tick, _tick);
    }

    /// <summary>Finds a replica of this broker.</summary>
    public bool TryGet(ReplicaKey key, [NotNullWhen(true)] out Replica? replica) => _replicas.TryGetValue(key, out replica);

    /// <summary>Returns the replica. If there is none, creates it, provided that <see cref="IReplicationHost.FindSpec"/> assigns it to this
    /// broker.</summary>
    /// <returns>Null if it is not assigned to this broker.</returns>
    /// <exception cref="BrokerException"><see cref="ErrorCode.KafkaStorageError"/>; <see cref="ErrorCode.LeaderNotAvailable"/>:
    /// retry.</exception>
    public Replica? GetOrCreate(ReplicaKey key)
    {
        if (_replicas.TryGetValue(key, out var found))
            return found;
        // FindSpec is called under the lock: a creation that waited for it must not use an assignment from before the wait. See
        // SettledReplicas.
        lock (_createLocks.Of(key))
            return _host.FindSpec(key) is { } spec ? GetOrCreate(key, spec) : null;
    }

    /// <summary><see cref="GetOrCreate(ReplicaKey)"/> on a thread that may block; many at once.</summary>
    /// <exception cref="BrokerException">As there.</exception>
    public Task<Replica?> GetOrCreateAsync(ReplicaKey key) =>
        _replicas.TryGetValue(key, out var found)
            ? Task.FromResult<Replica?>(found)
            : _store.Ports.Creation.RunAsync(() => GetOrCreate(key));

    /// <summary>Begins to create those replicas that this broker is to hold and does not have. One that fails is created when its leader
    /// pushes to it.</summary>
    public void BeginToCreate(IEnumerable<ReplicaKey> keys)
    {
        foreach (var key in keys)
        {
            if (!_disposed && !_replicas.ContainsKey(key) && _creating.TryAdd(key, true))
                _ = CreateAsync(key);
        }
    }

    private async Task CreateAsync(ReplicaKey key)
    {
        try
        {
            await GetOrCreateAsync(key).ConfigureAwait(false);
        }
        catch (Exception fault) when (fault is BrokerException or ObjectDisposedException)
        {
            _ports.Warn(key, $"The replica {key} could not be created: {fault.Message}");
        }
        finally
        {
            _creating.TryRemove(key, out _);
        }
    }

    /// <summary>Returns the replica; creates it if there is none, without asking the host.</summary>
    /// <exception cref="BrokerException"><see cref="ErrorCode.KafkaStorageError"/>; <see cref="ErrorCode.LeaderNotAvailable"/>:
    /// retry.</exception>
    public Replica GetOrCreate(ReplicaKey key, ReplicaSpec spec)
    {
        if (_replicas.TryGetValue(key, out var found))
            return found;
        var name = new TopicPartition(spec.Topic, key.Partition);
        lock (_createLocks.Of(key))
        {
            ObjectDisposedException.ThrowIf(_disposed, this);
            if (_replicas.TryGetValue(key, out found))
                return found;
            if (!_store.TryGet(name, out var partition) || partition.TopicId == key.TopicId)
                return Take(key, _store.GetOrCreate(name, key.TopicId, spec.Config), isConfigKnown: true);
            // The topic was deleted and created again. A replica of a known deleted topic is about to be dropped. One that the metadata no
            // longer mention, since this broker was down meanwhile, is set aside.
            if (!partition.IsDeleted && !_host.IsDeleted(partition.TopicId))
                Replace(new ReplicaKey(partition.TopicId, key.Partition), () => SetAsideAsync(partition));
        }
        throw new BrokerException(ErrorCode.LeaderNotAvailable, $"{name} of a deleted topic is being set aside, or removed. Retry.");
    }

    /// <summary>
    /// Returns all replicas, including those that are being created, for which it waits. A later <see cref="GetOrCreate(ReplicaKey)"/> uses
    /// what <see cref="IReplicationHost.FindSpec"/> says from now on. So a caller that first removes a replica's assignment there, and then
    /// drops it from this list, has dropped it for good.
    /// </summary>
    public IReadOnlyCollection<Replica> SettledReplicas()
    {
        _createLocks.PassAll();
        return Replicas;
    }

    /// <summary>Those of the replicas that there are, as <see cref="SettledReplicas()"/> returns all.</summary>
    public IReadOnlyCollection<Replica> SettledReplicas(IEnumerable<ReplicaKey> keys)
    {
        _createLocks.PassAll();
        return [.. keys.Select(key => _replicas.GetValueOrDefault(key)).OfType<Replica>()];
    }

    /// <summary>Ends a replica and frees its disk space, after its topic was deleted or it was reassigned away. A missing replica is not an
    /// error.</summary>
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

    /// <summary>Processes a bundle from another broker's <see cref="IReplicationHost.DeliverAsync"/>; returns the answers.</summary>
    public ValueTask<ReadOnlyMemory<byte>> ReceiveAsync(int fromBroker, ReadOnlyMemory<byte> bundle)
    {
        if (!_started || _disposed)
            return new(ReadOnlyMemory<byte>.Empty);
        var inbox = BundleFormat.MarksOf(bundle.Span).HasFlag(BundleMarks.CatchUp) ? _catchUpInbox : _inboxes.GetOrAdd(fromBroker,
            static (_, manager) => new ReplicaInbox(manager._store.Ports, manager.TakeBundle, manager._options.TimeProvider, pace: null),
            this);
        return new(inbox.ReceiveAsync(fromBroker, bundle));
    }

    /// <summary>Makes leaders check their ISR at once, after a broker was declared dead or came back.</summary>
    public void OnMembershipChanged() =>
        ThreadPool.UnsafeQueueUserWorkItem(static manager => manager.OnTick(all: true), this, preferLocal: false);

    /// <summary>Limits catch-up from now on to this rate, or to <see cref="ReplicationOptions.CatchUpMaxBytesPerSecond"/> if that is
    /// lower.</summary>
    /// <param name="maxBytesPerSecond">The most bytes per second that this broker sends; 0 for its own limit only.</param>
    public void LimitCatchUp(long maxBytesPerSecond) => _links.CatchUp.Limit(
        maxBytesPerSecond > 0 && _catchUpMaxBytesPerSecond > 0 ? Math.Min(maxBytesPerSecond, _catchUpMaxBytesPerSecond)
        : Math.Max(maxBytesPerSecond, _catchUpMaxBytesPerSecond));

    /// <summary>Stops all roles at once; the partitions stay open.</summary>
    public async ValueTask DisposeAsync()
    {
        if (Interlocked.Exchange(ref _disposed, true))
            return;
        _createLocks.PassAll(); // Creations that did not see the end yet.
        if (_timer is not null)
            await _timer.DisposeAsync().ConfigureAwait(false);
        foreach (var replica in _replicas.Values)
            replica.Drop("the broker stops");
        await _links.CloseAsync().ConfigureAwait(false);
        await Task.WhenAll(_replacing.Values).ConfigureAwait(false);
    }

    private Replica Take(ReplicaKey key, Partition partition, bool isConfigKnown)
    {
        if (!isConfigKnown)
            partition.AwaitConfig();
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
        // Ticks that take longer than the timer's period do not overlap.
        if (_disposed || !_tickLock.TryEnter())
            return;
        try
        {
            // Idle replicas get every third tick, which leaves them two chances within a lease.
            var turn = _ticks++;
            foreach (var (key, replica) in _replicas)
            {
                if (all || (turn + key.Partition) % 3 == 0 || !replica.IsQuiet)
                    replica.Tick();
                if (replica.IsDamaged)
                    Replace(replica.Key, () => RepairAsync(replica));
                else if (replica.IsToBeReopened)
                    Replace(replica.Key, () => ReopenAsync(replica));
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
        List<(ReplicaKey Key, Push Push)>? firsts = null;
        while (reader.TryRead(out var key, out var message))
        {
            if (message is Push { Batches.Count: 0 } push && IsFirst(key, push))
                (firsts ??= []).Add((key, push));
            else
                Find(key, message)?.Receive(message, reply);
        }
        if (firsts is [var (alone, only)])
            Find(alone, only)?.Receive(only, reply);
        else
            firsts?.ForEach(first => _ = TakeFirstAsync(first.Key, first.Push));
    }

    private bool IsFirst(ReplicaKey key, Push push) =>
        _replicas.TryGetValue(key, out var replica) ? replica.IsFirst(push) : _host.FindSpec(key) is not null;

    // The first push of an epoch is answered when that epoch is durable, and may create the replica. When a broker begins to lead, a bundle
    // has thousands of them: their flushes share the disk's time, and neither the bundle's other messages nor the sender's next bundle
    // waits for them. They may be overtaken by later pushes, which are as good. The leader repeats one that is not answered.
    private async Task TakeFirstAsync(ReplicaKey key, Push push)
    {
        if (!_firsts.TryAdd(key, true))
            return;
        try
        {
            var threads = _replicas.ContainsKey(key) ? _store.Ports.Epochs : _store.Ports.Creation;
            await threads.RunAsync(() => Find(key, push)?.Receive(push, reply: null)).ConfigureAwait(false);
        }
        catch (Exception fault)
        {
            _ports.Warn(key, $"The first push of epoch {push.Epoch} to replica {key} failed: {fault.Message}");
        }
        finally
        {
            _firsts.TryRemove(key, out _);
        }
    }

    private void OnAnswers(int broker, ReadOnlyMemory<byte> answers)
    {
        if (answers.IsEmpty)
            return;
        var reader = new BundleReader(answers);
        while (reader.TryRead(out var key, out var message))
            Find(key, message)?.Receive(message, reply: null);
    }

    // A leader pushes to every replica in the stored state, so a missing one is created.
    private Replica? Find(ReplicaKey key, ReplicationMessage message)
    {
        if (_replicas.TryGetValue(key, out var replica))
            return replica;
        // Also checked outside the lock, so that a push of a partition that is not assigned here does not wait for a creation.
        if (message is not Push || _host.FindSpec(key) is not { } spec)
            return null;
        try
        {
            return GetOrCreate(key);
        }
        catch (BrokerException fault)
        {
            _ports.Warn(key, $"Partition {spec.Topic}-{key.Partition} could not be created for its leader: {fault.Message}");
            return null;
        }
    }
}
