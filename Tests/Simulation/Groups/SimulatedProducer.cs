using OrleansMq.Api;

namespace OrleansMq.Tests.Simulation.Groups;

/// <summary>A producer of transactions with its transaction coordinator, which never fails: it begins a transaction, commits offsets in it,
/// decides, and tells the group until that answers. Both repeat what is not answered.</summary>
internal sealed class SimulatedProducer(GroupSimulation simulation, long id, bool raisesEpoch)
{
    private int _commits;
    private short _epoch;
    private int _coordinatorEpoch = 1;
    private int _unanswered;

    public long Id { get; } = id;
    public long Number { get; private set; }
    /// <summary>Whether no transaction is open, and the group has answered the end of the last one.</summary>
    public bool IsSettled { get; private set; } = true;

    public override string ToString() => $"p{Id}";

    public void Start() => simulation.After(simulation.Next(2_000), Begin);

    private void Begin()
    {
        if (simulation.Quiet)
            return;
        (IsSettled, _unanswered) = (false, 0);
        Number++;
        // A transaction may commit no offset in the group after all.
        Continue(simulation.Next(4));
    }

    private void Continue(int commits)
    {
        if (commits == 0)
        {
            // Some give up, while a commit is on its way.
            simulation.After(simulation.Next(simulation.Scenario.CommitEveryMs),
                () => Decide(isCommit: _unanswered == 0 && simulation.Chance(70)));
            return;
        }
        _unanswered++;
        var words = $"{this}#{Number}.{++_commits}";
        var partitions = simulation.Ledger.All.Where(_ => simulation.Chance(50)).ToArray();
        Commit(new TransactionOffsetCommit
        {
            GroupId = GroupSimulation.GroupId,
            TransactionalId = $"{this}",
            Producer = new ProducerIdentity(Id, _epoch),
            Number = Number,
            Offsets = [.. (partitions.Length == 0 ? [simulation.Ledger.All.First()] : partitions).Select(partition =>
                new PartitionOffset(simulation.Ledger.Name, partition.Partition, new CommittedOffset(simulation.Next(1_000), -1, words),
                    partition.TopicId))],
        }, attempts: simulation.Next(1, 5));
        simulation.After(simulation.Next(simulation.Scenario.CommitEveryMs), () => Continue(commits - 1));
    }

    private void Commit(TransactionOffsetCommit request, int attempts)
    {
        if (request.Number != Number || IsSettled)
            return;
        simulation.Send(request, answer =>
        {
            if (answer is OffsetCommitResult result && result.Partitions.All(static partition => partition.Error == ErrorCode.None))
            {
                simulation.Transactions.OnAcknowledged(request);
                if (request.Number == Number)
                    _unanswered--;
            }
            else if (attempts > 1)
            {
                simulation.After(simulation.Next(1, 200), () => Commit(request, attempts - 1));
            }
        });
    }

    private void Decide(bool isCommit)
    {
        if (raisesEpoch || !isCommit)
            _epoch++;
        simulation.Transactions.OnDecided(Id, Number, isCommit);
        if (simulation.IsTraced)
            simulation.Tell($"{this}#{Number} is {(isCommit ? "COMMITTED" : "ABORTED")}");
        End(isCommit);
    }

    private void End(bool isCommit)
    {
        if (simulation.Chance(10))
            _coordinatorEpoch++;
        var number = Number;
        simulation.Send(new EndTransactionOffsets
        {
            GroupId = GroupSimulation.GroupId,
            Producer = new ProducerIdentity(Id, _epoch),
            Number = number,
            CoordinatorEpoch = _coordinatorEpoch,
            IsCommit = isCommit,
        }, answer =>
        {
            if (answer is not GroupReply { Error: ErrorCode.None })
            {
                simulation.After(simulation.Next(1, 200), () => End(isCommit));
                return;
            }
            IsSettled = true;
            simulation.After(simulation.Next(2 * simulation.Scenario.CommitEveryMs), Begin);
        });
    }
}
