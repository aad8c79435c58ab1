using System.Collections.Concurrent;
using System.Globalization;
using OrleansMq.Replication;
using OrleansMq.State;

namespace OrleansMq.Tests.Engine.Replicas;

/// <summary>The in-memory surroundings of some brokers: a store of partition states, a network that may lose, duplicate, delay and reorder,
/// and membership.</summary>
internal sealed class MemoryCluster(int seed)
{
    private readonly Lock _lock = new();
    private readonly Random _random = new(seed);
    private readonly Dictionary<ReplicaKey, StoredPartitionState> _states = [];
    private readonly HashSet<(int From, int To)> _cuts = [];
    private long _etag;

    public ConcurrentDictionary<int, TestBroker> Brokers { get; } = new();
    public ConcurrentDictionary<ReplicaKey, ReplicaSpec> Specs { get; } = new();

    /// <summary>The percentage of bundles and answers that are lost, duplicated or delayed.</summary>
    public int LossPercent { get; set; }
    public int DoublePercent { get; set; }
    public int MaxDelayMs { get; set; }
    public bool StoreIsDown { get; set; }

    /// <summary>Sees the bundles that are sent, with their receiver.</summary>
    public Action<int, ReadOnlyMemory<byte>> OnBundle { get; set; } = static (_, _) => { };

    public StoredPartitionState? Find(ReplicaKey key)
    {
        lock (_lock)
            return _states.GetValueOrDefault(key);
    }

    public void Create(ReplicaKey key, PartitionState state)
    {
        lock (_lock)
            _states.Add(key, new StoredPartitionState(state, NextETag()));
    }

    public string Write(ReplicaKey key, PartitionState state, string etag)
    {
        if (StoreIsDown)
            throw new IOException("The store is down.");
        lock (_lock)
        {
            if (_states[key].ETag != etag)
                throw new StateConflictException(key.ToString(), etag, _states[key].ETag);
            var next = NextETag();
            _states[key] = new StoredPartitionState(state, next);
            return next;
        }
    }

    public StoredPartitionState? Read(ReplicaKey key) => StoreIsDown ? throw new IOException("The store is down.") : Find(key);

    public void Cut(int one, int other)
    {
        lock (_lock)
        {
            _cuts.Add((one, other));
            _cuts.Add((other, one));
        }
    }

    public void Isolate(int broker)
    {
        foreach (var other in Brokers.Keys)
            Cut(broker, other);
    }

    public void Mend()
    {
        lock (_lock)
            _cuts.Clear();
    }

    public async Task<ReadOnlyMemory<byte>> DeliverAsync(TestBroker from, int to, ReadOnlyMemory<byte> bundle,
        CancellationToken cancellationToken)
    {
        OnBundle(to, bundle);
        if (IsLost(from.Id, to) || !Brokers.TryGetValue(to, out var target))
            throw new IOException($"Broker {to} cannot be reached.");
        await DelayAsync(cancellationToken);
        var copy = bundle.ToArray();
        if (Chance(DoublePercent))
            _ = Task.Run(() => target.ReceiveAsync(from.Id, copy), CancellationToken.None);
        // A broker that ends leaves bundles unanswered; as over a real transport, the sender gives up.
        var answers = (await target.ReceiveAsync(from.Id, copy).AsTask().WaitAsync(cancellationToken)).ToArray();
        await DelayAsync(cancellationToken);
        return IsLost(to, from.Id) ? throw new IOException($"The answer of broker {to} is lost.") : answers;
    }

    private bool IsLost(int from, int to)
    {
        lock (_lock)
            return _cuts.Contains((from, to)) || _random.Next(100) < LossPercent;
    }

    private bool Chance(int percent)
    {
        lock (_lock)
            return _random.Next(100) < percent;
    }

    private Task DelayAsync(CancellationToken cancellationToken)
    {
        int delay;
        lock (_lock)
            delay = MaxDelayMs == 0 ? 0 : _random.Next(MaxDelayMs);
        return delay == 0 ? Task.CompletedTask : Task.Delay(delay, cancellationToken);
    }

    private string NextETag() => (++_etag).ToString(CultureInfo.InvariantCulture);
}
