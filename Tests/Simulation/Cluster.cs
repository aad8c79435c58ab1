using OrleansMq.Replication;

namespace OrleansMq.Tests.Simulation;

/// <summary>A whole cluster in one thread, from one seed: brokers with the shipped roles, a network, disks, a store, memberships, clients,
/// an operator, and faults. The same seed runs the same steps.</summary>
internal sealed partial class Cluster : ISimulation<Figures>
{
    private const long FaultsEndAt = 2_400;

    private readonly Random _random;
    private readonly ReplicationRules _rules;
    private readonly LeaderOptions _options;
    private readonly EventQueue _events = new();
    private readonly SimulatedBroker[] _brokers;
    private readonly HashSet<(int, int)> _cuts = [];
    private Topic _topic;
    private long _now;

    public Cluster(int seed, ReplicationRules rules, Func<Random, Scenario>? scenario = null)
    {
        _random = new Random(seed);
        _tellsClaimants = seed % 4 == 3;
        _learnsConfigLate = seed % 5 == 2;
        _asksUnflushed = seed % 3 == 1;
        _rules = rules;
        Scenario = scenario?.Invoke(_random) ?? new Scenario(_random);
        _options = new LeaderOptions
        {
            MaxLagMs = 300,
            LeaseMs = 150,
            HeartbeatMs = 20,
            ResendMs = 40,
            WatchCatchUpMs = 100,
            MaxUnansweredPushes = Scenario.UnansweredPushes,
            AppendTimeoutMs = 400,
            HandoverMs = 200,
        };
        _config = new SimulatedConfig(0, Scenario.MinInsync, Scenario.Sync);
        _topic = NewTopic(1);
        _caughtUpBy = new int[Scenario.Brokers];
        _brokers = [.. Enumerable.Range(0, Scenario.Brokers)
            .Select(id => new SimulatedBroker(id, new SimulatedDisk { Topic = _topic, Incarnation = NewGuid() },
            new SimulatedMembership(Scenario.Brokers, broker => _brokers![broker].Disk.Incarnation)))];
    }

    public Scenario Scenario { get; }
    public string Description => Scenario.ToString();
    /// <summary>Receives each relevant step, to analyse a failing seed; null for speed.</summary>
    public Action<string>? Trace { get; init; }
    public Figures Figures { get; } = new() { Seeds = 1 };

    public void Run()
    {
        foreach (var broker in _brokers)
            StartProcess(broker);
        After(10, Place);
        After(_random.Next(50, 300), Fault);
        After(_random.Next(50, 300), Operate);
        for (var producer = 0; producer <= IdempotentProducers; producer++)
        {
            var mine = new Producer { IsIdempotent = producer < IdempotentProducers };
            After(30 + producer, () => Produce(mine));
        }
        After(40, Consume);
        while (_events.TryTake(out var step, out var at) && (at <= EndAt || at <= Deadline) && !IsDone)
        {
            _now = at;
            step();
            Figures.Steps++;
        }
        Figures.Acknowledged += _topic.Clients.Acknowledged;
        Figures.Repeated += _topic.Repeated;
        Figures.Restated += _topic.Restated;
        CheckEnd();
    }

    private Guid NewGuid()
    {
        Span<byte> bytes = stackalloc byte[16];
        _random.NextBytes(bytes);
        return new Guid(bytes);
    }

    private Topic NewTopic(int number) =>
        new(number, NewGuid(), ChooseReplicas(Scenario.ReplicationFactor), Scenario.MayCompact);

    private int[] ChooseReplicas(int count)
    {
        var brokers = Enumerable.Range(0, Scenario.Brokers).ToArray();
        _random.Shuffle(brokers);
        return brokers[..count];
    }

    private void Tell(FormattableString line) =>
        Trace?.Invoke(FormattableString.Invariant($"{_now,6} {FormattableString.Invariant(line)}"));

    private bool Chance(int percent) => _random.Next(100) < percent;

    private void After(long delay, Action step) => _events.Add(_now + delay, step);

    /// <summary>Schedules a step of a broker's process: dropped after its end, delayed during a pause.</summary>
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
        if (broker.IsUp)
            return;
        // Some brokers learn of a change of the topic only a while after their start.
        if (broker.Disk.Topic != _topic && Chance(70))
            broker.Disk.Renew(_topic, NewGuid());
        if (Trace is not null)
            Tell($"{broker.Id} starts as {broker.Identity}, log {broker.Disk.LogStart} to {broker.Disk.LogEnd}, fence {broker.Disk.Fence}");
        broker.Start(_rules, ConfigAtStart(broker));
        AfterOn(broker, _random.Next(20), () => Tick(broker));
        AfterOn(broker, _random.Next(300), () => LearnOfTopic(broker));
        if (broker.Config != _config)
            LearnConfig(broker);
        Believe(broker, isDead: false, _random.Next(5, 30));
    }

    private void LearnOfTopic(SimulatedBroker broker)
    {
        if (broker.Disk.Topic == _topic)
            return;
        if (Trace is not null)
            Tell($"{broker.Id} sets its directory of topic {broker.Disk.Topic.Number} aside");
        BeginAgain(broker);
    }

    /// <summary>The process continues with a new, empty directory.</summary>
    private void BeginAgain(SimulatedBroker broker)
    {
        broker.Stop();
        broker.Disk.Renew(_topic, NewGuid());
        StartProcess(broker);
    }

    private void Tick(SimulatedBroker broker)
    {
        broker.Leader?.Tick(_now);
        if (broker.Disk.FlushedEnd < broker.Disk.LogEnd && (broker.Log.Sync || Chance(20)))
            Flush(broker);
        if (Scenario.MayCompact && Chance(Scenario.CompactPercent))
            Compact(broker);
        AfterOn(broker, 20, () => Tick(broker));
    }

    private void Flush(SimulatedBroker broker)
    {
        broker.Log.Flush();
        // The flushed point is written down only now and then.
        if (Chance(30))
            broker.Log.WriteHighWatermark();
        broker.Follower.OnFlushed();
        broker.Leader?.OnFlushed(_now);
    }

    private void Compact(SimulatedBroker broker)
    {
        var (from, to) = (broker.Log.CompactedEndOffset, broker.Log.HighWatermark);
        if (to <= from)
            return;
        var horizon = Chance(50) ? to : _random.NextInt64(from, to + 1);
        var (cuts, limit) = (broker.Log.Cuts, EraseLimit(broker));
        // Replicas may begin to catch up, or another may lead, while segments are scanned and replaced.
        AfterOn(broker, _random.Next(50), () =>
        {
            var erasedEnd = broker.Log.ErasableEnd(horizon, limit);
            if (erasedEnd <= EraseLimit(broker))
                AfterOn(broker, _random.Next(50), () => Erase(broker, horizon, erasedEnd, cuts));
        });
    }

    private void Erase(SimulatedBroker broker, long horizon, long erasedEnd, int cuts)
    {
        if (cuts != broker.Log.Cuts)
            return;
        broker.Log.NoteErased(erasedEnd);
        AfterOn(broker, _random.Next(10), () =>
        {
            if (erasedEnd > 0)
                broker.Leader?.BeforeErasing(_now);
            AfterOn(broker, _random.Next(10), () => Compact(broker, horizon, erasedEnd, cuts));
        });
    }

    private long EraseLimit(SimulatedBroker broker) => broker.Leader?.EraseLimit(_now) ?? long.MaxValue;

    private void Compact(SimulatedBroker broker, long horizon, long erasedEnd, int cuts)
    {
        if (cuts != broker.Log.Cuts)
            return;
        if (Trace is not null)
            Tell($"{broker.Id} compacts up to {horizon}, erases up to {erasedEnd}");
        broker.Log.Compact(horizon, erasedEnd);
        Figures.Compactions++;
        if (erasedEnd > 0)
            Figures.Erasures++;
    }
}
