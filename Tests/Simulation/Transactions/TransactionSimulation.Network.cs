using OrleansMq.Api;
using OrleansMq.Producers;
using OrleansMq.Transactions;

namespace OrleansMq.Tests.Simulation.Transactions;

// The network between clients, gateways, coordinators, partitions and groups: it delays, loses, duplicates and reorders.
internal sealed partial class TransactionSimulation
{
    private const int TellTimeoutMs = 150;
    // Some calls end long after another telling has replaced theirs.
    private const int LongTellTimeoutMs = 2_500;

    /// <summary>
    /// Sends a request of a client to its coordinator. Answered once: with null on a timeout, and whether it was sent once. Requests of a
    /// client with one epoch for many transactions arrive in order over one connection; those of others in any order. A gateway repeats
    /// some of both.
    /// </summary>
    public void Call(SimulatedClient client, ITransactionRequest request, Action<object?, bool> answered)
    {
        var (isDone, isDoubled) = (false, IsDoubled());
        var call = new CoordinatorCall();
        AfterOn(client, Scenario.RequestTimeoutMs, () =>
        {
            if (!isDone && Chance(50))
                After(Delay(), () => Abandon(call));
            Finish(null);
        });
        if (IsLost())
            return;
        var (connection, moves, transaction) = (client.Connection, client.Moves, client.Transaction);
        var delay = client.RaisesEpoch ? Delay() : client.InOrder(Now + Delay()) - Now;
        After(delay, Arrive);
        if (isDoubled)
            After(delay + (3 * Delay()), Arrive);

        void Arrive() => AskCoordinator(request, client, client, call, Answer, _ => client.RaisesEpoch || client.Moves == moves,
            transaction);

        void Answer(object answer)
        {
            if (IsLost())
                return;
            AfterOn(client, Delay(), () =>
            {
                if (client.Connection == connection)
                    Finish(answer);
            });
        }

        void Finish(object? answer)
        {
            if (isDone)
                return;
            isDone = true;
            answered(answer, !isDoubled);
        }
    }

    /// <summary>Sends a batch to its partition's leader, whose gateway asks the coordinator where it must. Answered once: with the error,
    /// and whether the batch is under way no more.</summary>
    public void Produce(SimulatedClient client, ProducedRecord record, Action<ErrorCode, bool> answered) =>
        Send(client, answered, answer =>
        {
            var partition = record.Partition;
            var (producer, raises) = (record.Transaction.Producer, client.RaisesEpoch);
            if (partition.Refusal is { } refusal)
                answer(refusal);
            else if (!Participants.MustAsk(partition.Leader!.IsOpen(producer)))
                After(Chance(20) ? Delay() : 0, () => partition.Append(record, default, answer));
            else
            {
                Ask(client, new AddToTransaction
                {
                    TransactionalId = client.Id,
                    Producer = producer,
                    Partitions = [partition.InTransaction],
                    VerifyOnly = !raises,
                    RaisesEpoch = raises,
                    Caller = new TransactionCaller($"{client}"),
                }, answer, number => partition.Append(record, new VerifiedTransaction(number, raises), answer),
                    raises ? record.Transaction : null);
            }
        });

    /// <summary>Sends an offset to a group, whose gateway asks the coordinator. Answered once.</summary>
    public void CommitOffset(ClientTransaction transaction, SimulatedGroup group, int partition, int offset,
        Action<ErrorCode, bool> answered) =>
        Send(transaction.Client, answered, answer => Ask(transaction.Client, new AddToTransaction
        {
            TransactionalId = transaction.Client.Id,
            Producer = transaction.Producer,
            Groups = [group.Id],
            VerifyOnly = !transaction.Client.RaisesEpoch,
            RaisesEpoch = transaction.Client.RaisesEpoch,
            Caller = new TransactionCaller($"{transaction.Client}"),
        }, answer, number => group.Commit(transaction, number, partition, offset, answer),
            transaction, coordinator => !IsOfNext(coordinator, transaction, group)));

    // The limit of a client with one epoch for many transactions, which the protocol shares: an offset commit that comes late, when the
    // next transaction has the group, cannot be told from one of that transaction.
    private static bool IsOfNext(SimulatedCoordinator coordinator, ClientTransaction transaction, SimulatedGroup group) =>
        !transaction.Client.RaisesEpoch && coordinator.Core!.State is { Phase: TransactionPhase.Ongoing } state
            && state.Producer == transaction.Producer && state.Number > transaction.AddedTo && state.Groups.Contains(group.Id);

    // A batch that is verified late is refused by its sequence, an offset by its transaction alone.
    private void Ask(SimulatedClient client, AddToTransaction request, Action<ErrorCode> refuse, Action<long> go,
        ClientTransaction? transaction, Predicate<SimulatedCoordinator>? arrives = null)
    {
        var isAnswered = false;
        AskCoordinator(request, null, client, new CoordinatorCall(), Answer, arrives, transaction);
        if (IsDoubled())
            AskCoordinator(request, null, client, new CoordinatorCall(), Answer, arrives, transaction);

        void Answer(object answer)
        {
            if (isAnswered)
                return;
            isAnswered = true;
            var added = (AddToTransactionResult)answer;
            if (added.Error == ErrorCode.None)
                After(!Quiet && Chance(8) ? Next(Scenario.MostLateMs) : Delay(), () => go(added.Number));
            else
                refuse(added.Error == ErrorCode.ProducerFenced ? ErrorCode.InvalidProducerEpoch : added.Error);
        }
    }

    private void Send(SimulatedClient client, Action<ErrorCode, bool> answered, Action<Action<ErrorCode>> arrive)
    {
        var (isDone, isDoubled) = (false, IsDoubled());
        AfterOn(client, Scenario.RequestTimeoutMs, () => Finish(ErrorCode.RequestTimedOut));
        if (IsLost())
            return;
        After(Delay(), () => arrive(Answer));
        if (isDoubled)
            After(3 * Delay(), () => arrive(Answer));

        void Answer(ErrorCode error)
        {
            if (!IsLost())
                AfterOn(client, Delay(), () => Finish(error));
        }

        void Finish(ErrorCode error)
        {
            if (isDone)
                return;
            isDone = true;
            answered(error, !isDoubled && error != ErrorCode.RequestTimedOut);
        }
    }

    // As the shell of a coordinator tells them: each again and again until it knows; a later telling replaces it.
    private void TellParticipants(SimulatedCoordinator coordinator, EndParticipants told)
    {
        var telling = ++coordinator.Telling;
        var state = told.State;
        var end = new TransactionEnd(state.Producer, state.Number, told.CoordinatorEpoch, state.Phase == TransactionPhase.PrepareCommit,
            state.RaisesEpoch);
        if (IsTraced)
            Tell($"{coordinator} tells of {state.Phase} {Short(state.Number)} with {told.CoordinatorEpoch}");
        var left = state.Partitions.Count + state.Groups.Count;
        var isFenced = false;
        foreach (var partition in state.Partitions)
            TellOne(coordinator, telling, answer => FindPartition(partition)!.End(end, answer), Known);
        foreach (var group in state.Groups)
            TellOne(coordinator, telling, answer => _groups.Find(one => one.Id == group)!.End(end, answer), Known);
        if (left == 0)
            After(0, Finish);

        void Known(ParticipantOutcome outcome)
        {
            isFenced |= outcome == ParticipantOutcome.Fenced;
            if (--left == 0)
                Finish();
        }

        void Finish() => RunOn(coordinator, () => Give(coordinator,
            isFenced ? new CoordinatorFenced(state.Number, told.CoordinatorEpoch) : new ParticipantsEnded(state.Number)));
    }

    private void TellOne(SimulatedCoordinator coordinator, long telling, Action<Action<ParticipantOutcome>> tell,
        Action<ParticipantOutcome> known, int pause = 20)
    {
        if (!coordinator.IsUp || coordinator.Telling != telling)
            return;
        var isDone = false;
        After(!Quiet && Chance(10) ? LongTellTimeoutMs : TellTimeoutMs, () => Finish(ParticipantOutcome.Retry));
        if (IsLost())
            return;
        After(Delay(), () => tell(Answer));
        if (IsDoubled())
            After(3 * Delay(), () => tell(Answer));

        void Answer(ParticipantOutcome outcome)
        {
            if (!IsLost())
                After(Delay(), () => Finish(outcome));
        }

        void Finish(ParticipantOutcome outcome) => RunOn(coordinator, () =>
        {
            if (isDone)
                return;
            isDone = true;
            if (outcome != ParticipantOutcome.Retry)
                known(outcome);
            else
                After(pause, () => RunOn(coordinator, () => TellOne(coordinator, telling, tell, known, Math.Min(2 * pause, 300))));
        });
    }

    private bool IsLost() => !Quiet && Chance(Scenario.DropPercent);

    private bool IsDoubled() => !Quiet && Chance(Scenario.DoublePercent);

    public int Delay() => !Quiet && Chance(Scenario.LatePercent) ? Next(Scenario.MostLateMs) : 1 + Next(Scenario.MaxDelayMs);

    /// <summary>Schedules a step of a client's process: dropped after its end, delayed during a pause.</summary>
    public void AfterOn(SimulatedClient client, long delay, Action step) => After(delay, () => RunOn(client, step));

    private void RunOn(SimulatedClient client, Action step)
    {
        if (!client.IsAlive)
            return;
        if (client.PausedUntil > Now)
            After(client.PausedUntil - Now, () => RunOn(client, step));
        else
            step();
    }

    public static bool IsPassing(ErrorCode error) => error is ErrorCode.RequestTimedOut or ErrorCode.NotLeaderOrFollower
        or ErrorCode.ConcurrentTransactions or ErrorCode.CoordinatorLoadInProgress or ErrorCode.CoordinatorNotAvailable
        or ErrorCode.NotCoordinator;
}
