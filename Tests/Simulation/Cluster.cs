using OrleansMq.Replication;

namespace OrleansMq.Tests.Simulation;

/// <summary>
/// A whole cluster in one thread, from one seed: brokers with the shipped roles, a network, disks, a store, a membership, clients, and what goes wrong
/// with them. The same seed runs the same steps.
/// </summary>
internal sealed partial class Cluster : IMembership
{
    private const long FaultsEndAt = 1_800;
    private const long EndAt = 10_000;

    private readonly Random _random;
    private readonly ReplicationRules _rules;
    private readonly LeaderOptions _options;
    private readonly PriorityQueue<Action, (long Time, long Order)> _events = new();
    private readonly SimulatedBroker[] _brokers;
    private readonly SimulatedStore _store;
    private readonly Guid _topicId;
    private readonly ReplicaChecker _replicas = new();
    private readonly ClientChecker _clients = new();
    private readonly bool[] _declaredDead;
    private readonly HashSet<(int, int)> _cuts = [];
    private readonly int _batchesPerPush;
    private long _now;
    private long _order;
    private SimulatedBroker? _latestLeader;
    private int _latestEpoch = -1;

    public Cluster(int seed, ReplicationRules rules)
    {
        _random = new Random(seed);
        _rules = rules;
        Scenario = new Scenario(_random);
        _options = new LeaderOptions
        {
            MinInsyncReplicas = Scenario.MinInsync,
            MaxLagMs = 300,
            LeaseMs = 150,
            ResendMs = 40,
            MaxUnansweredPushes = 1 + _random.Next(4),
            HeartbeatMs = 20,
        };
        _batchesPerPush = 1 + _random.Next(8);
        _topicId = NewGuid();
        _declaredDead = new bool[Scenario.Brokers];
        _store = new SimulatedStore(PartitionState.Create(_topicId, [.. Enumerable.Range(0, Scenario.Brokers)]));
        _brokers = [.. Enumerable.Range(0, Scenario.Brokers).Select(id => new SimulatedBroker(id, new SimulatedDisk { Incarnation = NewGuid() }))];
    }

    public Scenario Scenario { get; }
    /// <summary>Told of each step that matters, to understand a failing seed by; null for speed.</summary>
    public Action<string>? Trace { get; init; }
    public Figures Figures { get; } = new() { Seeds = 1 };

    public bool IsAlive(int broker) => !_declaredDead[broker];

    public bool IsAlive(ReplicaIdentity member) => !_declaredDead[member.Broker] && _brokers[member.Broker].Disk.Incarnation == member.Incarnation;

    public void Run()
    {
        foreach (var broker in _brokers)
            StartProcess(broker);
        After(10, Place);
        After(_random.Next(50, 300), Fault);
        for (var producer = 0; producer <= SimulatedLog.IdempotentProducers; producer++)
        {
            var mine = producer;
            After(30 + producer, () => Produce(mine));
        }
        After(40, Consume);
        while (_events.TryDequeue(out var step, out var at) && at.Time <= EndAt && !IsDone)
        {
            _now = at.Time;
            step();
            Figures.Steps++;
        }
        Figures.Acknowledged = _clients.Acknowledged;
        CheckEnd();
    }

    /// <summary>Faults are over, and all that was acknowledged was seen by the reader.</summary>
    private bool IsDone => _now > FaultsEndAt + 200 && _brokers.All(b => b.IsUp) && _store.State.Isr.Length == _brokers.Length
        && LatestLeader is { } leader && leader.Log.HighWatermark == leader.Log.LogEndOffset && _clients.Seen == leader.Log.HighWatermark;

    /// <summary>Who leads the highest epoch there is; null while nobody does.</summary>
    private SimulatedBroker? LatestLeader => _latestLeader is { Leads: true } broker && broker.Leader!.Epoch == _latestEpoch ? broker : null;

    private void CheckEnd()
    {
        if (LatestLeader is { } leader)
            _clients.OnServing(leader.Log);
        if (IsDone)
            return;
        // A write in flight may take the last member that kept its log out of the ISR: then nobody may lead, and the operator has to choose.
        Figures.Stuck = 1;
        Verdict.Require(!_store.State.Isr.Concat(_store.State.Elr).Any(IsAlive),
            $"liveness: an eligible member lives, and yet the partition is not well {EndAt - FaultsEndAt} ms after the last fault: {_store.State}");
    }

    private Guid NewGuid()
    {
        Span<byte> bytes = stackalloc byte[16];
        _random.NextBytes(bytes);
        return new Guid(bytes);
    }

    private void Tell(FormattableString line) => Trace?.Invoke(FormattableString.Invariant($"{_now,6} {FormattableString.Invariant(line)}"));

    private bool Chance(int percent) => _random.Next(100) < percent;

    private void After(long delay, Action step) => _events.Enqueue(step, (_now + delay, _order++));

    /// <summary>A step of a broker's process: dropped when it has ended, put off while it is paused.</summary>
    private void AfterOn(SimulatedBroker broker, long delay, Action step)
    {
        var process = broker.Process;
        After(delay, () => RunOn(broker, process, step));
    }

    private void RunOn(SimulatedBroker broker, int process, Action step)
    {
        if (!broker.IsUp || broker.Process != process)
            return;
        if (broker.PausedUntil > _now)
        {
            After(broker.PausedUntil - _now, () => RunOn(broker, process, step));
            return;
        }
        step();
        Perform(broker);
    }

    private void StartProcess(SimulatedBroker broker)
    {
        if (Trace is not null)
            Tell($"{broker.Id} starts as {broker.Identity}, end {broker.Disk.Batches.Count}, fence {broker.Disk.Fence}");
        broker.Start(_rules, Scenario.Sync, _topicId, _replicas);
        AfterOn(broker, _random.Next(20), () => Tick(broker));
        After(_random.Next(5, 60), () => _declaredDead[broker.Id] &= !broker.IsUp);
    }

    private void Tick(SimulatedBroker broker)
    {
        broker.Leader?.Tick(_now);
        if (broker.Disk.FlushedCount < broker.Disk.Batches.Count && (Scenario.Sync || Chance(20)))
            Flush(broker);
        AfterOn(broker, 20, () => Tick(broker));
    }

    private void Flush(SimulatedBroker broker)
    {
        broker.Disk.FlushedCount = broker.Disk.Batches.Count;
        broker.Follower.OnFlushed();
        broker.Leader?.OnFlushed(_now);
    }
}
