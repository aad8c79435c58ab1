using OrleansMq.Api;

namespace OrleansMq.Tests.Simulation.Groups;

// Producers of transactions: they commit offsets for a topic of their own, which no member reads.
internal sealed partial class GroupSimulation
{
    public const string LedgerName = "ledger";
    private const int LedgerPartitions = 3;

    private readonly List<SimulatedProducer> _producers = [];

    public TransactionChecker Transactions { get; }

    /// <summary>The topic of the transactions' offsets.</summary>
    public SimulatedTopic Ledger => _topics[LedgerName];

    public bool IsLedger(Guid topicId) => _producers.Count > 0 && Ledger.Id == topicId;

    private void StartProducers()
    {
        if (Scenario.Producers == 0)
            return;
        CreateTopic(LedgerName, LedgerPartitions);
        for (var id = 1; id <= Scenario.Producers; id++)
            _producers.Add(new SimulatedProducer(this, id, raisesEpoch: Chance(50)));
        _producers.ForEach(static producer => producer.Start());
        After(_random.Next(1_000), FetchStable);
    }

    private void FetchStable()
    {
        if (!Quiet)
            After(_random.Next(2 * Scenario.CommitEveryMs), FetchStable);
        var began = Transactions.BeginFetch();
        Send(new OffsetFetch
        {
            GroupId = GroupId,
            Partitions = [.. Ledger.All.Select(static partition => new TopicPartition(LedgerName, partition.Partition))],
            RequireStable = true,
        }, answer =>
        {
            if (answer is OffsetFetchResult result)
                Transactions.OnFetched(began, result);
        });
    }

    /// <summary>Sends a request to whatever coordinator is the group's when it arrives: late, twice, or never. Answered once, with null
    /// on a timeout.</summary>
    public void Send(IGroupRequest request, Action<object?> answered)
    {
        var isDone = false;
        After(RequestTimeoutMs, () => Finish(null));
        Deliver(Delay());
        if (!Quiet && Chance(20))
            Deliver(_random.Next(3 * RequestTimeoutMs));

        void Deliver(long delay)
        {
            if (Quiet || !Chance(Scenario.DropPercent))
                After(delay, () => Arrive(FindCoordinator()));
        }

        void Arrive(SimulatedCoordinator? coordinator)
        {
            if (coordinator is not null)
                RunOn(coordinator, () => WhenServing(coordinator, () => Handle(coordinator, request, Answer)));
        }

        void Answer(object answer)
        {
            if (Quiet || !Chance(Scenario.DropPercent))
                After(Delay(), () => Finish(answer));
        }

        void Finish(object? answer)
        {
            if (isDone)
                return;
            isDone = true;
            answered(answer);
        }
    }

    private string? FindUnsettledTransaction()
    {
        if (_producers.Count == 0)
            return null;
        // What was sent before the last fault has arrived.
        if (Now < FaultsEndAt + (4 * RequestTimeoutMs))
            return "the network has late requests";
        return _producers.Find(static producer => !producer.IsSettled) is { } open ? $"{open}#{open.Number} is open"
            : TransactionChecker.FindUnsettled(_documents.Offsets.Value);
    }
}
