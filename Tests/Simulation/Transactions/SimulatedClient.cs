using OrleansMq.Api;

namespace OrleansMq.Tests.Simulation.Transactions;

/// <summary>One instance of a transactional producer, as Kafka's clients are: it adds, sends and ends, one after the other, and repeats
/// what is not answered.</summary>
/// <param name="simulation">The run.</param>
/// <param name="id">Its transactional id.</param>
/// <param name="number">Its number in the run.</param>
/// <param name="raisesEpoch">Whether each of its transactions has an epoch of its own (KIP-890).</param>
/// <param name="recovers">Whether it goes on with the next epoch after a failure (KIP-360).</param>
internal sealed class SimulatedClient(TransactionSimulation simulation, string id, int number, bool raisesEpoch, bool recovers)
{
    private readonly Dictionary<SimulatedPartition, int> _sequences = [];
    private ClientTransaction? _transaction;
    private int _transactions;
    private int _steps;
    private long _lastArrival;
    // Whether a batch may arrive later: only the next epoch rules that out.
    private bool _mustRecover;

    public string Id { get; } = id;
    public bool RaisesEpoch { get; } = raisesEpoch;
    public bool Recovers { get; } = recovers;
    public ProducerIdentity Identity { get; private set; } = new(-1, -1);
    public bool IsAlive { get; private set; } = true;
    public long PausedUntil { get; set; }
    /// <summary>What it does, for messages.</summary>
    public string Doing { get; private set; } = "starting";
    /// <summary>The transaction that it works on; null between two.</summary>
    public ClientTransaction? Transaction => _transaction;
    public bool IsIdle => !IsAlive || Doing == "idle";
    public long Now => simulation.Now;

    /// <summary>The broker that its connection ends at.</summary>
    public int Broker { get; private set; } = number % 3;
    /// <summary>Rises with each connection of all clients.</summary>
    public long Connection { get; private set; } = simulation.NewConnection();
    /// <summary>Counts the changes of its broker.</summary>
    public int Moves { get; private set; }

    /// <summary>Rises with each request.</summary>
    public long Sequence { get; private set; }

    private TransactionCaller Caller => new(ToString(), Broker, Connection, ++Sequence);

    /// <summary>Returns the time at which a request arrives that is sent now: not before the one sent before.</summary>
    public long InOrder(long arrival) => _lastArrival = Math.Max(_lastArrival, arrival);

    public void Start() => Initialize(null);

    /// <summary>Its process ends.</summary>
    public void End(string reason)
    {
        if (simulation.IsTraced)
            simulation.Tell($"{this} ENDS: {reason}");
        IsAlive = false;
        simulation.OnClientEnded(this);
    }

    public override string ToString() => $"p{number}";

    // --- Epochs ---

    private void Initialize(ProducerIdentity? current)
    {
        Doing = current is null ? "initializing" : "recovering";
        // A client that knows of repetitions has one id for all of its attempts; for others each gateway has one.
        Guid? requestId = simulation.Chance(50) ? simulation.NewGuid() : null;
        Ask<InitTransactionsResult>(() => new InitTransactions
        {
            TransactionalId = Id,
            Timeout = TimeSpan.FromMilliseconds(simulation.Scenario.TimeoutMs),
            Current = current,
            Caller = Caller,
            RequestId = requestId ?? simulation.NewGuid(),
        }, (result, _) =>
        {
            if (result.Error != ErrorCode.None)
            {
                Verdict.Require(result.Error == ErrorCode.ProducerFenced && current is not null,
                    $"12: {this} is refused its epoch: {result.Error} {result.Message}");
                Fail(result.Error);
                return;
            }
            Identity = result.Producer;
            _sequences.Clear();
            _mustRecover = false;
            Rest();
        });
    }

    private void Recover()
    {
        if (Recovers)
            Initialize(Identity);
        else
            End("it cannot go on");
    }

    private void Fail(ErrorCode error)
    {
        simulation.Figures.Fenced++;
        End($"{error}");
    }

    // --- A transaction ---

    private void Rest()
    {
        Doing = "idle";
        _transaction = null;
        if (simulation.IsEnding)
            return;
        simulation.AfterOn(this, simulation.Chance(10) ? simulation.Next(5 * simulation.Scenario.ThinkMs)
            : simulation.Next(simulation.Scenario.ThinkMs), Begin);
    }

    private void Begin()
    {
        if (simulation.IsEnding)
            return;
        if (simulation.Chance(simulation.Scenario.RivalPercent))
            simulation.StartClient(Id);
        _transaction = new ClientTransaction(this, ++_transactions, Identity);
        simulation.Outcomes.OnBegan(_transaction);
        _steps = simulation.Next(1, 5);
        Step();
    }

    private void Step()
    {
        Doing = "sending";
        var transaction = _transaction!;
        if (simulation.Chance(4))
        {
            // Without an abort: the next epoch ends the transaction, too.
            if (Recovers && simulation.Chance(30))
                Recover();
            else
                Finish(isCommit: false);
            return;
        }
        if (_steps-- == 0)
        {
            Finish(isCommit: simulation.Chance(80));
            return;
        }
        if (simulation.Groups.Count > 0 && simulation.Chance(20) && transaction.Committed.Add(_steps % 2))
        {
            SendOffset(transaction, simulation.Groups[0], _steps % 2);
            return;
        }
        var partition = simulation.Choose(simulation.Partitions);
        if (RaisesEpoch || transaction.Added.Contains(partition))
            SendRecord(transaction, partition);
        else
            Add(transaction, [partition.InTransaction], [], () =>
            {
                transaction.Added.Add(partition);
                // A transaction may end with partitions that got nothing.
                if (simulation.Chance(10))
                    Step();
                else
                    SendRecord(transaction, partition);
            });
    }

    private void Add(ClientTransaction transaction, IReadOnlyList<TransactionPartition> partitions, IReadOnlyList<string> groups,
        Action added) => Ask<AddToTransactionResult>(() => new AddToTransaction
        {
            TransactionalId = Id,
            Producer = transaction.Producer,
            Partitions = partitions,
            Groups = groups,
            RaisesEpoch = RaisesEpoch,
            Caller = Caller,
        }, (result, isSure) =>
        {
            if (result.Error == ErrorCode.None)
                added();
            else
                OnFenced(result.Error, isSure, "add");
        });

    private void SendRecord(ClientTransaction transaction, SimulatedPartition partition)
    {
        var record = new ProducedRecord(transaction, partition, _sequences.GetValueOrDefault(partition), simulation.NewValue());
        Repeat(answered => simulation.Produce(this, record, answered), (error, isSure) =>
        {
            if (error == ErrorCode.None)
            {
                transaction.Acknowledged.Add(record);
                _sequences[partition] = record.Sequence + 1;
                Step();
                return;
            }
            _mustRecover |= !isSure || error == ErrorCode.OutOfOrderSequenceNumber;
            OnRefused(error);
        });
    }

    private void SendOffset(ClientTransaction transaction, SimulatedGroup group, int partition)
    {
        if (RaisesEpoch || transaction.HasAddedGroup)
            Send();
        else
            Add(transaction, [], [group.Id], () =>
            {
                transaction.HasAddedGroup = true;
                Send();
            });

        void Send()
        {
            var offset = simulation.NewValue();
            Repeat(answered => simulation.CommitOffset(transaction, group, partition, offset, answered), (error, _) =>
            {
                if (error == ErrorCode.None)
                    Step();
                else
                    OnRefused(error);
            });
        }
    }

    private void OnRefused(ErrorCode error)
    {
        if (simulation.IsTraced)
            simulation.Tell($"{this} gives {_transaction} up: {error}");
        if (error == ErrorCode.InvalidProducerIdMapping)
            Fail(error);
        else
            Finish(isCommit: false);
    }

    private void Finish(bool isCommit)
    {
        Doing = isCommit ? "committing" : "aborting";
        var transaction = _transaction!;
        transaction.WasToCommit = isCommit;
        var waits = simulation.Chance(20);
        Ask<EndTransactionResult>(() => new EndTransaction
        {
            TransactionalId = Id,
            Producer = transaction.Producer,
            IsCommit = isCommit,
            RaisesEpoch = RaisesEpoch,
            WaitsForMarkers = waits,
            Caller = Caller,
        }, (result, isSure) => OnFinished(transaction, isCommit, result, isSure));
    }

    private void OnFinished(ClientTransaction transaction, bool isCommit, EndTransactionResult result, bool isSure)
    {
        switch (result.Error)
        {
            case ErrorCode.None:
                transaction.Outcome = isCommit ? ClientOutcome.Committed : ClientOutcome.Aborted;
                if (RaisesEpoch)
                {
                    _sequences.Clear();
                    _mustRecover = false;
                }
                Identity = result.Producer;
                if (_mustRecover)
                    Recover();
                else
                    Rest();
                break;
            case ErrorCode.InvalidTxnState:
                if (isCommit)
                    transaction.Outcome = ClientOutcome.Failed;
                Recover();
                break;
            default:
                OnFenced(result.Error, isSure, isCommit ? "commit" : "abort");
                break;
        }
    }

    private void OnFenced(ErrorCode error, bool isSure, string what)
    {
        Verdict.Require(error is ErrorCode.ProducerFenced or ErrorCode.InvalidProducerIdMapping,
            $"12: an {what} of {this} is refused: {error}");
        if (isSure)
            _transaction!.Outcome = ClientOutcome.Failed;
        Fail(error);
    }

    // --- Requests ---

    // Repeats a request until it is answered for good. The answer is sure where no other attempt may have been carried out.
    private void Ask<TResult>(Func<ITransactionRequest> make, Action<TResult, bool> answered)
        where TResult : ITransactionAnswer
    {
        var attempts = 0;
        Attempt();

        void Attempt()
        {
            attempts++;
            simulation.Call(this, make(), (answer, isSentOnce) =>
            {
                if (answer is TResult result && !TransactionSimulation.IsPassing(result.Error))
                {
                    answered(result, attempts == 1 && isSentOnce && !RaisesEpoch);
                    return;
                }
                if (answer is null)
                    Reconnect();
                simulation.AfterOn(this, simulation.Next(5, 40), Attempt);
            });
        }
    }

    // Repeats a request of a partition or group, and gives up after a while.
    private void Repeat(Action<Action<ErrorCode, bool>> send, Action<ErrorCode, bool> answered)
    {
        var attempts = 0;
        var until = Now + simulation.Next(200, 1_500);
        Attempt();

        void Attempt()
        {
            attempts++;
            send((error, isSure) =>
            {
                if (!TransactionSimulation.IsPassing(error) || Now > until)
                    answered(error, attempts == 1 && isSure);
                else
                    simulation.AfterOn(this, simulation.Next(5, 40), Attempt);
            });
        }
    }

    private void Reconnect()
    {
        Connection = simulation.NewConnection();
        _lastArrival = 0;
        if (!simulation.Chance(25))
            return;
        Broker = (Broker + simulation.Next(1, 3)) % 3;
        Moves++;
    }
}
