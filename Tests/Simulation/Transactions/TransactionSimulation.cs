using OrleansMq.Api;
using OrleansMq.Coordination;
using OrleansMq.Transactions;

namespace OrleansMq.Tests.Simulation.Transactions;

/// <summary>Transactional ids in one thread, from one seed: coordinators with the shipped core, their documents in a store, partitions
/// whose leaders decide by the shipped state of producers, a group, clients of both versions of the protocol, a network, and faults. The
/// same seed runs the same steps.</summary>
/// <remarks>
/// Not simulated, since the protocol cannot tell it from what is right, of clients with one epoch for many transactions: what such a client
/// has sent to its coordinator over another broker is lost when it goes on over the next one. Over one broker its requests may come late,
/// after those of younger connections. An offset that it has sent to a group is lost when it goes on to the next transaction with the same
/// epoch.
/// </remarks>
internal sealed partial class TransactionSimulation : ISimulation<TransactionFigures>
{
    private const long FaultsEndAt = 5_000;
    private const long LastWorkAt = 5_300;
    private const long EndAt = 60_000;
    // Above twice the longest delay of a message, twice the longest pause, and what a store takes: nothing comes after a producer is
    // forgotten.
    private const int ProducersExpireMs = 1_500;

    private readonly Random _random;
    private readonly EventQueue _events = new();
    private readonly List<SimulatedClient> _clients = [];
    private readonly List<SimulatedPartition> _partitions = [];
    private readonly List<SimulatedPartition> _allPartitions = [];
    private readonly List<SimulatedGroup> _groups = [];
    private long _nextLook;
    private int _lastValue;
    private long _lastConnection;

    public TransactionSimulation(int seed, TransactionRules rules, ParticipantRules participants)
    {
        _random = new Random(seed);
        (_rules, Participants) = (rules, participants);
        Scenario = new TransactionScenario(_random);
        _options = new TransactionOptions
        {
            MaxWait = TimeSpan.FromMilliseconds(Scenario.MaxWaitMs),
            IdExpiration = Scenario.IdExpirationMs == 0 ? new TransactionOptions().IdExpiration
                : TimeSpan.FromMilliseconds(Scenario.IdExpirationMs),
        };
        Outcomes = new OutcomeChecker(this);
        _answers = new AnswerChecker(this);
    }

    public ParticipantRules Participants { get; }
    public OutcomeChecker Outcomes { get; }
    private readonly AnswerChecker _answers;
    public TransactionScenario Scenario { get; }
    public string Description => Scenario.ToString();
    /// <summary>Receives each relevant step, to analyse a failing seed; null for speed.</summary>
    public Action<string>? Trace { get; init; }
    public TransactionFigures Figures { get; } = new() { Seeds = 1 };
    /// <summary>Milliseconds since the run began.</summary>
    public long Now { get; private set; }
    public DateTimeOffset Time => Epoch.AddMilliseconds(Now);
    public bool Quiet => Now > FaultsEndAt;
    /// <summary>Whether clients begin no more transactions.</summary>
    public bool IsEnding => Now > LastWorkAt;
    /// <summary>The partitions of topics that exist.</summary>
    public IReadOnlyList<SimulatedPartition> Partitions => _partitions;
    public IReadOnlyList<SimulatedGroup> Groups => _groups;

    public void Run()
    {
        for (var i = 0; i < Scenario.Partitions; i++)
            CreatePartition($"t{i}");
        for (var i = 0; i < Scenario.Groups; i++)
            _groups.Add(new SimulatedGroup(this, $"g{i}"));
        for (var i = 0; i < Scenario.Ids; i++)
        {
            var id = $"id{i}";
            CreateDocument(id);
            After(Next(100), () => StartClient(id));
        }
        After(Scenario.FaultEveryMs, Fault);
        After(500, Sweep);
        After(Next(400), Watch);
        if (_groups.Count > 0)
            After(Next(300), CommitPlainly);
        if (Scenario.ProducersExpire)
            After(500, ExpireProducers);
        while (_events.TryTake(out var step, out var at) && at <= EndAt && !IsDone())
        {
            Now = at;
            step();
            Figures.Steps++;
        }
        if (FindUnsettled() is { } unsettled)
            throw new Verdict($"10: {Now - FaultsEndAt} ms after the last fault {unsettled}");
        Outcomes.CheckEnd(_partitions, _groups);
    }

    public SimulatedClient? StartClient(string id)
    {
        if (_clients.Count(client => client.Id == id && client.IsAlive) >= 3)
            return null;
        var raises = Scenario.Versions switch
        {
            TransactionVersions.One => false,
            TransactionVersions.Two => true,
            _ => Chance(50),
        };
        var client = new SimulatedClient(this, id, _clients.Count, raises, raises || Chance(Scenario.RecoverPercent));
        _clients.Add(client);
        if (IsTraced)
            Tell($"{client} STARTS, {(raises ? "an epoch for each transaction" : "one epoch")}{(client.Recovers ? ", recovers" : "")}");
        client.Start();
        return client;
    }

    public void OnClientEnded(SimulatedClient client)
    {
        if (!IsEnding && !_clients.Any(other => other.Id == client.Id && other.IsAlive))
            After(Next(5, 100), () => StartClient(client.Id));
    }

    public int NewValue() => ++_lastValue;

    public long NewConnection() => ++_lastConnection;

    private void CreateDocument(string id)
    {
        var document = new SimulatedDocument();
        _documents.Add(id, document);
        if (Scenario.FirstEpoch == 0)
            return;
        var state = new TransactionState
        {
            Phase = TransactionPhase.Empty,
            ProducerId = NewProducerId(),
            Epoch = Scenario.FirstEpoch,
            Timeout = TimeSpan.FromMilliseconds(Scenario.TimeoutMs),
            UpdatedAt = Epoch,
        };
        // Partitions know such an epoch: a restored document has another.
        document.Put(new TransactionContent(new CoordinatorClaim(Scenario.RestoresClaims ? 1_500 : 1, NewGuid()), state));
        Outcomes.OnStored(id, null, state);
    }

    private SimulatedPartition CreatePartition(string topic)
    {
        var partition = new SimulatedPartition(this, topic, NewGuid());
        _partitions.Add(partition);
        _allPartitions.Add(partition);
        partition.Elect();
        return partition;
    }

    public SimulatedPartition? FindPartition(TransactionPartition partition) =>
        _allPartitions.Find(one => one.TopicId == partition.TopicId);

    private void CommitPlainly()
    {
        if (IsEnding)
            return;
        Choose(_groups).CommitPlainly(Next(SimulatedGroup.Partitions), NewValue());
        After(Next(50, 400), CommitPlainly);
    }

    // A transaction that is open in a partition is known to its coordinator, also to one that does not know yet that it was replaced: the
    // leader would abort any other.
    private void Watch()
    {
        After(400, Watch);
        foreach (var partition in _partitions.Where(static partition => partition.Leader is not null))
        {
            var leader = partition.Leader!;
            foreach (var open in leader.FindOld(300))
            {
                if (IsTraced)
                    Tell($"{partition} asks about {open}");
                AskCoordinator(new DescribeTransaction(Outcomes.OwnerOf(open.ProducerId)), null, null, new CoordinatorCall(), answer =>
                {
                    if (answer is TransactionReply { Error: not ErrorCode.TransactionalIdNotFound } || partition.Leader != leader)
                        return;
                    Verdict.Require((answer is TransactionDescription known && TransactionWatch.IsOf(known, partition.InTransaction,
                        open.ProducerId)) || !leader.IsOpenFrom(open),
                        $"10: {open} hangs in {partition}: its coordinator does not know it");
                });
            }
        }
    }

    private void ExpireProducers()
    {
        foreach (var partition in _partitions)
            partition.Leader?.ExpireProducers(ProducersExpireMs);
        After(250, ExpireProducers);
    }

    private bool IsDone()
    {
        if (!IsEnding || Now < _nextLook)
            return false;
        _nextLook = Now + 50;
        return FindUnsettled() is null;
    }

    /// <summary>Describes what is not settled; null if everything is.</summary>
    private string? FindUnsettled()
    {
        if (_clients.Find(client => !client.IsIdle) is { } busy)
            return $"{busy} is {busy.Doing}";
        foreach (var (id, document) in _documents)
        {
            if (document.State is { IsAtRest: false } state)
                return $"the document of {id} is in {state.Phase}, transaction {state.Number}";
        }
        if (_coordinators.Find(coordinator => coordinator.Waiting.Values.Any(request => !request.IsAbandoned)) is { } holding)
            return $"{holding} has not answered {Describe(holding.Waiting.Values.First(request => !request.IsAbandoned).Body)}";
        if (_partitions.Find(partition => !partition.IsSettled) is { } partition)
            return $"{partition} is not settled: {partition.Leader?.ToString() ?? "it has no leader"}";
        return _groups.Find(group => group.HasPending) is { } pending ? $"{pending} has offsets of an open transaction" : null;
    }

    public void After(long delay, Action step) => _events.Add(Now + delay, step);

    public bool Chance(int percent) => _random.Next(100) < percent;

    public int Next(int below) => _random.Next(below);

    public int Next(int from, int below) => _random.Next(from, below);

    public T Choose<T>(IReadOnlyList<T> from) => from[_random.Next(from.Count)];

    public Guid NewGuid()
    {
        Span<byte> bytes = stackalloc byte[16];
        _random.NextBytes(bytes);
        return new Guid(bytes);
    }

    public bool IsTraced => Trace is not null;

    public void Tell(FormattableString line) => Trace?.Invoke(FormattableString.Invariant($"{Now,6} {FormattableString.Invariant(line)}"));
}
