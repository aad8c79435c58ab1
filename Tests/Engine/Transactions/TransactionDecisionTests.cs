using System.Globalization;
using OrleansMq.Api;
using OrleansMq.Coordination;
using OrleansMq.Transactions;

namespace OrleansMq.Tests.Engine.Transactions;

/// <summary>
/// The decisions about a transactional id as tables: a state, a request, the answer, the next state. A state is written as
/// <c>Phase id/epoch</c>, with <c>last</c> (the epoch of the last request), <c>previous</c> and <c>next</c> (producer ids) where it has
/// them; the next one is <c>same</c> where nothing changes, so that nothing is written. The tables follow Kafka's coordinator.
/// </summary>
public sealed class TransactionDecisionTests
{
    private const string Id = "id";
    private static readonly CultureInfo Invariant = CultureInfo.InvariantCulture;
    private static readonly DateTimeOffset Start = new(2026, 1, 1, 0, 0, 0, TimeSpan.Zero);
    private static readonly DateTimeOffset Now = Start + TimeSpan.FromSeconds(5);
    private static readonly TransactionOptions Options = new();
    private static readonly TransactionPartition First = new("t", 0, Guid.Empty);
    private static readonly TransactionPartition Second = new("t", 1, Guid.Empty);

    [Theory]
    [InlineData("none", "-", 9, "None 9/0", "Empty 9/0")]
    [InlineData("none", "-", -1, "needs ProducerId", "same")]
    [InlineData("none", "7/3", 9, "None 9/0", "Empty 9/0")]
    // A new instance.
    [InlineData("Empty 7/3", "-", -1, "None 7/4", "Empty 7/4")]
    [InlineData("Empty 7/3 last 2", "-", -1, "None 7/4", "Empty 7/4")]
    [InlineData("Empty 9/0 previous 7", "-", -1, "None 9/1", "Empty 9/1 previous 7")]
    [InlineData("CompleteCommit 7/3", "-", -1, "None 7/4", "Empty 7/4")]
    [InlineData("CompleteAbort 7/4 last 3", "-", -1, "None 7/5", "Empty 7/5")]
    [InlineData("Ongoing 7/3", "-", -1, "needs Completion", "PrepareAbort 7/4")]
    [InlineData("PrepareCommit 7/3", "-", -1, "needs Completion", "same")]
    [InlineData("PrepareAbort 7/4", "-", -1, "needs Completion", "same")]
    // One that goes on (KIP-360).
    [InlineData("Empty 7/3", "7/3", -1, "None 7/4", "Empty 7/4 last 3")]
    [InlineData("CompleteCommit 7/3", "7/3", -1, "None 7/4", "Empty 7/4 last 3")]
    [InlineData("Empty 7/3", "7/2", -1, "ProducerFenced", "same")]
    [InlineData("Empty 7/3", "7/4", -1, "ProducerFenced", "same")]
    [InlineData("Empty 7/3", "8/3", -1, "ProducerFenced", "same")]
    [InlineData("Ongoing 7/3", "7/3", -1, "needs Completion", "PrepareAbort 7/4 last 3")]
    [InlineData("Ongoing 7/3", "7/2", -1, "ProducerFenced", "same")]
    [InlineData("PrepareAbort 7/4 last 3", "7/3", -1, "needs Completion", "same")]
    // Its repetition: the epoch is raised once.
    [InlineData("Empty 7/4 last 3", "7/3", -1, "None 7/4", "same")]
    [InlineData("CompleteAbort 7/4 last 3", "7/3", -1, "None 7/4", "same")]
    [InlineData("Empty 7/4 last 3", "7/2", -1, "ProducerFenced", "same")]
    [InlineData("Ongoing 7/4 last 3", "7/3", -1, "ProducerFenced", "same")]
    // Used up epochs.
    [InlineData("Empty 7/32765", "-", -1, "None 7/32766", "Empty 7/32766")]
    [InlineData("Empty 7/32766", "-", 9, "None 9/0", "Empty 9/0 previous 7")]
    [InlineData("Empty 7/32766", "-", -1, "needs ProducerId", "same")]
    [InlineData("Empty 7/32766", "7/32766", 9, "None 9/0", "Empty 9/0 last 32766 previous 7")]
    [InlineData("Empty 9/0 last 32766 previous 7", "7/32766", -1, "None 9/0", "same")]
    [InlineData("Empty 9/0 previous 7", "7/32766", -1, "ProducerFenced", "same")]
    [InlineData("Empty 9/1 previous 7", "7/32766", -1, "ProducerFenced", "same")]
    [InlineData("Ongoing 7/32766", "-", 9, "needs Completion", "PrepareAbort 7/32767 next 9")]
    [InlineData("Ongoing 7/32766", "7/32766", 9, "needs Completion", "PrepareAbort 7/32767 last 32766 next 9")]
    [InlineData("Ongoing 7/32766", "-", -1, "needs ProducerId", "same")]
    public void InitProducerId(string state, string current, long freshId, string answer, string next) => AssertOutcome(state, answer, next,
        state => TransactionDecision.Init(state, new InitTransactions
        {
            TransactionalId = Id,
            Timeout = TimeSpan.FromSeconds(60),
            Current = current == "-" ? null : Producer(current),
        }, freshId, Options, Now));

    [Fact]
    public void InitProducerId_that_is_repeated_gets_the_same_identity_whatever_came_between()
    {
        var (first, second) = (Guid.NewGuid(), Guid.NewGuid());
        var state = Ask(null, first, 9, "None 9/0");
        Assert.Same(state, Ask(state, first, 10, "None 9/0"));
        state = Ask(state, second, -1, "None 9/1");
        Assert.Same(state, Ask(state, first, -1, "None 9/0"));
        Assert.Same(state, Ask(state, second, -1, "None 9/1"));
        // A transaction of the second one is neither aborted nor waited for.
        state = TransactionDecision.Add(state, Add("9/1", First), Options, Now).Next!;
        Assert.Same(state, Ask(state, second, -1, "None 9/1"));
        state = TransactionDecision.End(state, End("9/1", isCommit: true), -1, Now).Next!;
        Assert.True(state.IsEnding);
        Assert.Same(state, Ask(state, second, -1, "None 9/1"));
        state = TransactionDocument.Parse(TransactionDocument.Of(default, state).ToBytes()).ToState();
        Assert.Same(state, Ask(state, first, -1, "None 9/0"));
    }

    [Fact]
    public void InitProducerId_is_known_as_a_repetition_among_the_last_few()
    {
        var (first, state) = (Guid.NewGuid(), State("Empty 7/3"));
        state = Ask(state, first, -1, "None 7/4");
        for (var other = 5; other < 4 + TransactionState.MostInits; other++)
            state = Ask(state, Guid.NewGuid(), -1, $"None 7/{other}");
        Assert.Equal(TransactionState.MostInits, state.Inits.Length);
        Assert.Same(state, Ask(state, first, -1, "None 7/4"));
        // Requests without an id are not kept.
        state = Ask(state, Guid.Empty, -1, $"None 7/{4 + TransactionState.MostInits}");
        Assert.Same(state, Ask(state, first, -1, "None 7/4"));
        state = Ask(state, Guid.NewGuid(), -1, $"None 7/{5 + TransactionState.MostInits}");
        Assert.Equal(TransactionState.MostInits, state.Inits.Length);
        Ask(state, first, -1, $"None 7/{6 + TransactionState.MostInits}");
    }

    private static TransactionState Ask(TransactionState? state, Guid requestId, long freshId, string answer)
    {
        var outcome = TransactionDecision.Init(state, new InitTransactions
        {
            TransactionalId = Id,
            Timeout = TimeSpan.FromSeconds(60),
            RequestId = requestId,
        }, freshId, Options, Now);
        var result = Assert.IsType<InitTransactionsResult>(outcome.Answer);
        Assert.Equal(answer, $"{result.Error} {result.Producer.ProducerId}/{result.Producer.ProducerEpoch}");
        return outcome.Next!;
    }

    [Theory]
    [InlineData(-1, "InvalidTransactionTimeout")]
    [InlineData(0, "InvalidTransactionTimeout")]
    [InlineData(1, "None 7/4")]
    [InlineData(900_000, "None 7/4")]
    [InlineData(900_001, "InvalidTransactionTimeout")]
    public void InitProducerId_bounds_the_timeout(int milliseconds, string answer) => AssertOutcome("Empty 7/3", answer,
        answer == "None 7/4" ? "Empty 7/4" : "same", state => TransactionDecision.Init(state, new InitTransactions
        {
            TransactionalId = Id,
            Timeout = TimeSpan.FromMilliseconds(milliseconds),
        }, -1, Options, Now));

    [Theory]
    [InlineData("none", "7/3", "InvalidProducerIdMapping", "same")]
    [InlineData("Empty 7/3", "8/3", "InvalidProducerIdMapping", "same")]
    [InlineData("Empty 9/0 last 32766 previous 7", "7/32766", "InvalidProducerIdMapping", "same")]
    [InlineData("Empty 7/3", "7/2", "ProducerFenced", "same")]
    [InlineData("Empty 7/3", "7/4", "ProducerFenced", "same")]
    [InlineData("Ongoing 7/3", "7/2", "ProducerFenced", "same")]
    [InlineData("Empty 7/3", "7/3", "None", "Ongoing 7/3")]
    [InlineData("Empty 7/3 last 2", "7/3", "None", "Ongoing 7/3")]
    [InlineData("Empty 9/0 last 32766 previous 7", "9/0", "None", "Ongoing 9/0 previous 7")]
    [InlineData("CompleteCommit 7/4 last 3", "7/4", "None", "Ongoing 7/4")]
    [InlineData("CompleteAbort 7/3", "7/3", "None", "Ongoing 7/3")]
    [InlineData("Ongoing 7/3", "7/3", "None", "same")]
    // Before the id and the epoch are looked at.
    [InlineData("PrepareCommit 7/3", "7/3", "needs Completion", "same")]
    [InlineData("PrepareAbort 7/4 last 3", "7/3", "needs Completion", "same")]
    [InlineData("PrepareAbort 7/32767 last 32766 next 9", "9/0", "needs Completion", "same")]
    public void AddPartitions(string state, string producer, string answer, string next) => AssertOutcome(state, answer, next,
        state => TransactionDecision.Add(state, Add(producer, First), Options, Now));

    [Theory]
    [InlineData("Ongoing 7/3", 0, "None", "same")]
    [InlineData("Ongoing 7/3", 1, "TransactionAbortable", "same")]
    [InlineData("Empty 7/3", 0, "TransactionAbortable", "same")]
    [InlineData("CompleteCommit 7/3", 0, "TransactionAbortable", "same")]
    [InlineData("Ongoing 7/4", 0, "ProducerFenced", "same")]
    [InlineData("PrepareCommit 7/3", 0, "TransactionAbortable", "same")]
    public void AddPartitions_that_only_verifies(string state, int partition, string answer, string next) => AssertOutcome(state, answer,
        next, state => TransactionDecision.Add(state, Add("7/3", new("t", partition, Guid.Empty)) with { VerifyOnly = true }, Options,
            Now));

    [Fact]
    public void AddPartitions_begins_a_transaction_with_the_next_number_and_extends_it()
    {
        var empty = State("CompleteCommit 7/3")! with { Number = 4 };
        var begun = TransactionDecision.Add(empty, Add("7/3", First), Options, Now).Next!;
        Assert.Equal((Now.ToUnixTimeMilliseconds(), Now), (begun.Number, begun.StartedAt));
        var later = Now + TimeSpan.FromSeconds(1);
        var extended = TransactionDecision.Add(begun, Add("7/3", Second) with { Groups = ["g"] }, Options, later);
        Assert.Equal(begun.Number, ((AddToTransactionResult)extended.Answer!).Number);
        Assert.Equal((begun.Number, Now, later), (extended.Next!.Number, extended.Next.StartedAt, extended.Next.UpdatedAt));
        Assert.Equal([First, Second], extended.Next.Partitions.AsEnumerable());
        Assert.Equal(["g"], extended.Next.Groups.AsEnumerable());
        // The clock went back, as after the restore of a database.
        var ended = TransactionDecision.Complete(extended.Next with { Phase = TransactionPhase.PrepareCommit }, Start);
        Assert.Equal(begun.Number + 1, TransactionDecision.Add(ended, Add("7/3", First), Options, Start).Next!.Number);
    }

    [Theory]
    [InlineData("")]
    [InlineData("a\nb")]
    public void Group_that_can_be_none_is_refused(string group)
    {
        AssertOutcome("Ongoing 7/3", "InvalidGroupId", "same",
            state => TransactionDecision.Add(state, Add("7/3", First) with { Groups = [group] }, Options, Now));
        // It was stored by an earlier version: the transaction can end.
        Assert.Equal(ParticipantOutcome.Done, ParticipantOutcomes.Of(ErrorCode.InvalidGroupId));
    }

    [Fact]
    public void Partition_below_zero_is_refused() => AssertOutcome("Ongoing 7/3", "InvalidRequest", "same",
        state => TransactionDecision.Add(state, Add("7/3", new TransactionPartition("t", -1, Guid.Empty)), Options, Now));

    [Fact]
    public void AddPartitions_beyond_the_most_is_refused() => AssertOutcome("Ongoing 7/3", "InvalidRequest", "same",
        state => TransactionDecision.Add(state, Add("7/3", Second), Options with { MaxPartitions = 1 }, Now));

    [Fact]
    public void AddPartitions_over_a_younger_connection_is_stored_unless_each_transaction_has_an_epoch()
    {
        var state = State("Ongoing 7/3")! with { Connection = new(1, 5) };
        var request = Add("7/3", First) with { Caller = new("c", 1, 6) };
        Assert.Equal(new(1, 6), TransactionDecision.Add(state, request, Options, Now).Next!.Connection);
        Assert.Same(state, TransactionDecision.Add(state, request with { RaisesEpoch = true }, Options, Now).Next);
        Assert.Same(state, TransactionDecision.Add(state, request with { Caller = new("c", 1, 5) }, Options, Now).Next);
    }

    [Fact]
    public void End_over_a_younger_connection_is_stored_unless_each_transaction_has_an_epoch()
    {
        var state = State("Ongoing 7/3")! with { Connection = new(1, 5) };
        var request = new EndTransaction
        {
            TransactionalId = "x",
            Producer = state.Producer,
            IsCommit = true,
            Caller = new("c", 1, 6),
        };
        Assert.Equal(new(1, 6), TransactionDecision.End(state, request, 9, Now).Next!.Connection);
        Assert.Equal(new(1, 5), TransactionDecision.End(state, request with { Caller = new("c") }, 9, Now).Next!.Connection);
        Assert.Equal(default, TransactionDecision.End(state, request with { RaisesEpoch = true }, 9, Now).Next!.Connection);
    }

    [Theory]
    [InlineData("none", "7/3", "InvalidProducerIdMapping", "same", "InvalidProducerIdMapping", "same")]
    [InlineData("Empty 7/3", "8/3", "InvalidProducerIdMapping", "same", "InvalidProducerIdMapping", "same")]
    [InlineData("Ongoing 7/3", "7/2", "ProducerFenced", "same", "ProducerFenced", "same")]
    [InlineData("Ongoing 7/3", "7/4", "ProducerFenced", "same", "ProducerFenced", "same")]
    [InlineData("Ongoing 7/3", "7/3", "None 7/3", "PrepareCommit 7/3", "None 7/3", "PrepareAbort 7/3")]
    [InlineData("Ongoing 7/32766", "7/32766", "None 7/32766", "PrepareCommit 7/32766", "None 7/32766", "PrepareAbort 7/32766")]
    [InlineData("PrepareCommit 7/3", "7/3", "needs Completion", "same", "InvalidTxnState", "same")]
    [InlineData("PrepareAbort 7/3", "7/3", "InvalidTxnState", "same", "needs Completion", "same")]
    [InlineData("CompleteCommit 7/3", "7/3", "None 7/3", "same", "InvalidTxnState", "same")]
    [InlineData("CompleteAbort 7/3", "7/3", "InvalidTxnState", "same", "None 7/3", "same")]
    [InlineData("Empty 7/3", "7/3", "InvalidTxnState", "same", "InvalidTxnState", "same")]
    // It was fenced after its timeout.
    [InlineData("PrepareAbort 7/4 last 3", "7/3", "ProducerFenced", "same", "ProducerFenced", "same")]
    [InlineData("CompleteAbort 7/4 last 3", "7/3", "ProducerFenced", "same", "ProducerFenced", "same")]
    public void EndTxn_with_one_epoch_for_all_transactions(string state, string producer, string commit, string committed, string abort,
        string aborted)
    {
        AssertOutcome(state, commit, committed, state => TransactionDecision.End(state, End(producer, isCommit: true), -1, Now));
        AssertOutcome(state, abort, aborted, state => TransactionDecision.End(state, End(producer, isCommit: false), -1, Now));
    }

    [Theory]
    [InlineData("none", "7/3", -1, "InvalidProducerIdMapping", "same", "InvalidProducerIdMapping", "same")]
    [InlineData("Ongoing 7/3", "8/3", -1, "InvalidProducerIdMapping", "same", "InvalidProducerIdMapping", "same")]
    [InlineData("Ongoing 7/3", "7/2", -1, "ProducerFenced", "same", "ProducerFenced", "same")]
    [InlineData("Ongoing 7/4 last 3", "7/3", -1, "ProducerFenced", "same", "ProducerFenced", "same")]
    [InlineData("Ongoing 7/3", "7/3", -1, "None 7/4", "PrepareCommit 7/4 last 3", "None 7/4", "PrepareAbort 7/4 last 3")]
    // The request came again.
    [InlineData("PrepareCommit 7/4 last 3", "7/3", -1, "needs Completion", "same", "InvalidTxnState", "same")]
    [InlineData("PrepareAbort 7/4 last 3", "7/3", -1, "InvalidTxnState", "same", "needs Completion", "same")]
    [InlineData("CompleteCommit 7/4 last 3", "7/3", -1, "None 7/4", "same", "InvalidTxnState", "same")]
    [InlineData("CompleteAbort 7/4 last 3", "7/3", -1, "InvalidTxnState", "same", "None 7/4", "same")]
    [InlineData("Empty 7/4 last 3", "7/3", -1, "ProducerFenced", "same", "ProducerFenced", "same")]
    // The next transaction has no partition.
    [InlineData("PrepareCommit 7/4 last 3", "7/4", -1, "needs Completion", "same", "needs Completion", "same")]
    [InlineData("CompleteCommit 7/4 last 3", "7/4", -1, "InvalidTxnState", "same", "None 7/5", "CompleteAbort 7/5 last 4")]
    [InlineData("CompleteAbort 7/4 last 3", "7/4", -1, "InvalidTxnState", "same", "None 7/5", "CompleteAbort 7/5 last 4")]
    [InlineData("Empty 7/4", "7/4", -1, "InvalidTxnState", "same", "None 7/5", "CompleteAbort 7/5 last 4")]
    // Used up epochs.
    [InlineData("Ongoing 7/32766", "7/32766", 9, "None 9/0", "PrepareCommit 7/32767 last 32766 next 9", "None 9/0",
        "PrepareAbort 7/32767 last 32766 next 9")]
    [InlineData("Ongoing 7/32766", "7/32766", -1, "needs ProducerId", "same", "needs ProducerId", "same")]
    [InlineData("PrepareCommit 7/32767 last 32766 next 9", "7/32766", -1, "needs Completion", "same", "InvalidTxnState", "same")]
    [InlineData("PrepareCommit 7/32767 last 32766 next 9", "9/0", -1, "needs Completion", "same", "needs Completion", "same")]
    [InlineData("CompleteCommit 9/0 last 32766 previous 7", "7/32766", -1, "None 9/0", "same", "InvalidTxnState", "same")]
    [InlineData("CompleteCommit 9/0 last 32766 previous 7", "7/5", -1, "InvalidProducerIdMapping", "same", "InvalidProducerIdMapping",
        "same")]
    [InlineData("Empty 7/32766", "7/32766", 9, "InvalidTxnState", "same", "None 9/0", "CompleteAbort 9/0 last 32766 previous 7")]
    [InlineData("Empty 7/32766", "7/32766", -1, "InvalidTxnState", "same", "needs ProducerId", "same")]
    public void EndTxn_with_an_epoch_for_each_transaction(string state, string producer, long freshId, string commit, string committed,
        string abort, string aborted)
    {
        AssertOutcome(state, commit, committed, state => TransactionDecision.End(state,
            End(producer, isCommit: true) with { RaisesEpoch = true }, freshId, Now));
        AssertOutcome(state, abort, aborted, state => TransactionDecision.End(state,
            End(producer, isCommit: false) with { RaisesEpoch = true }, freshId, Now));
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public void EndTxn_with_the_number_of_the_last_ended_transaction_is_a_repetition_also_when_the_next_has_begun(bool isCommit)
    {
        var end = End("7/3", isCommit) with { Number = 4 };
        var first = TransactionDecision.End(State("Ongoing 7/3"), end, -1, Now);
        var ended = TransactionDecision.Complete(Stored(first.Next!), Now);
        var open = Stored(TransactionDecision.Add(Stored(ended), Add("7/3", First), Options, Now).Next!);
        Assert.True(open.Number > 4);
        var again = TransactionDecision.End(open, end, -1, Now);
        Assert.Equal(Text(first), Text(again));
        Assert.Same(open, again.Next);
        Refuses(ErrorCode.InvalidTxnState, open, end with { IsCommit = !isCommit });
        Refuses(ErrorCode.InvalidTxnState, open, end with { Number = 3 });
        Refuses(ErrorCode.InvalidTxnState, open, end with { RaisesEpoch = true });
        // A new instance has fenced this one.
        var raised = TransactionDecision.Complete(TransactionDecision.Fence(open, -1, Now, "", -1)!, Now);
        Refuses(ErrorCode.ProducerFenced, Stored(raised), end);
        // The outcome of the fenced one replaces it.
        Refuses(ErrorCode.InvalidTxnState, Stored(raised), end with { Producer = raised.Producer });

        static TransactionState Stored(TransactionState state) =>
            TransactionDocument.Parse(TransactionDocument.Of(new CoordinatorClaim(1, Guid.Empty), state).ToBytes()).ToState();

        static void Refuses(ErrorCode error, TransactionState state, EndTransaction end)
        {
            var refused = TransactionDecision.End(state, end, -1, Now);
            Assert.Same(state, refused.Next);
            Assert.Equal(error, ((EndTransactionResult)refused.Answer!).Error);
        }
    }

    [Fact]
    public void Fence_is_the_end_of_its_transaction()
    {
        var fenced = TransactionDecision.Complete(TransactionDecision.Fence(State("Ongoing 7/3")!, -1, Now, "", 3)!, Now);
        var open = TransactionDecision.Add(fenced, Add("7/4", First), Options, Now).Next!;
        Assert.Equal("None 7/4", Text(TransactionDecision.End(open, End("7/4", isCommit: false) with { Number = 4 }, -1, Now)));
        Assert.Equal("InvalidTxnState", Text(TransactionDecision.End(open, End("7/4", isCommit: true) with { Number = 4 }, -1, Now)));
    }

    [Fact]
    public void EndTxn_that_waits_for_the_markers_is_decided_and_not_answered() => AssertOutcome("Ongoing 7/3", "needs Completion",
        "PrepareCommit 7/3", state => TransactionDecision.End(state, End("7/3", isCommit: true) with { WaitsForMarkers = true }, -1, Now));

    [Theory]
    [InlineData("none", "TransactionalIdNotFound", "same")]
    [InlineData("Empty 7/3", "InvalidTxnState", "same")]
    [InlineData("CompleteCommit 7/3", "InvalidTxnState", "same")]
    [InlineData("PrepareCommit 7/3", "InvalidTxnState", "same")]
    [InlineData("Ongoing 7/3", "needs Completion", "PrepareAbort 7/4 last 3")]
    [InlineData("Ongoing 7/32766", "needs ProducerId", "same")]
    public void Abort_of_an_operator(string state, string answer, string next) => AssertOutcome(state, answer, next,
        state => TransactionDecision.Abort(state, new AbortTransaction(Id), -1, Now));

    [Theory]
    [InlineData("Ongoing 7/3", 60_000, true)]
    [InlineData("Ongoing 7/3", 59_999, false)]
    [InlineData("Empty 7/3", 60_000, false)]
    [InlineData("PrepareCommit 7/3", 60_000, false)]
    [InlineData("CompleteAbort 7/3", 60_000, false)]
    public void Transaction_is_late_after_its_timeout(string state, int milliseconds, bool isLate) =>
        Assert.Equal(isLate, TransactionDecision.IsLate(State(state)!, Start + TimeSpan.FromMilliseconds(milliseconds)));

    [Theory]
    [InlineData("Ongoing 7/3", -1, "PrepareAbort 7/4 last 3")]
    [InlineData("Ongoing 7/32766", 9, "PrepareAbort 7/32767 last 32766 next 9")]
    [InlineData("Ongoing 7/32766", -1, "none")]
    public void Late_transaction_is_aborted_with_a_higher_epoch(string state, long freshId, string next)
    {
        var late = State(state)!;
        var fenced = TransactionDecision.Fence(late, freshId, Now, "it is late", late.Epoch);
        Assert.Equal(next, Text(fenced));
        Assert.True(fenced is null || (fenced.RaisesEpoch && fenced.Partitions.Contains(First)));
    }

    [Theory]
    [InlineData("PrepareCommit 7/3", "CompleteCommit 7/3")]
    [InlineData("PrepareAbort 7/4 last 3", "CompleteAbort 7/4 last 3")]
    [InlineData("PrepareCommit 7/32767 last 32766 next 9", "CompleteCommit 9/0 last 32766 previous 7")]
    [InlineData("PrepareAbort 7/32767 next 9", "CompleteAbort 9/0 previous 7")]
    public void Transaction_is_complete_when_all_know(string state, string next)
    {
        var complete = TransactionDecision.Complete(State(state)! with { RaisesEpoch = true, Groups = ["g"], Connection = new(1, 5) }, Now);
        Assert.Equal(next, Text(complete));
        // What comes over an older connection is late also after the end.
        Assert.Equal((0, 0, null, false, new(1, 5)), (complete.Partitions.Count, complete.Groups.Count, complete.StartedAt,
            complete.RaisesEpoch, complete.Connection));
    }

    [Theory]
    [InlineData("1/5 4", "1/6 1", true)]
    [InlineData("1/5 4", "1/5 5", true)]
    [InlineData("1/5 4", "1/5 4", false)]
    [InlineData("1/5 4", "1/5 3", false)]
    [InlineData("1/6 1", "1/5 4", false)]
    [InlineData("1/5 4", "2/6 9", false)]
    // Of a broker of an earlier version, or of a client that has no connection.
    [InlineData("1/5 0", "1/5 4", false)]
    [InlineData("1/5 4", "1/5 0", false)]
    [InlineData("1/0 0", "1/5 4", false)]
    public void Request_is_late_that_comes_before_another_of_the_same_broker(string request, string other, bool isBefore)
    {
        Assert.Equal(isBefore, Connection(request).IsBefore(Connection(other)));

        static TransactionConnection Connection(string text) => text.Split('/', ' ') is var parts
            ? new(int.Parse(parts[0], Invariant), long.Parse(parts[1], Invariant), long.Parse(parts[2], Invariant)) : default;
    }

    [Fact]
    public void Repeated_request_over_the_same_connection_changes_nothing_that_came_after_it()
    {
        var (state, sequence) = (State("Ongoing 7/3")! with { Connection = new(1, 5, 1) }, 1);
        var add = Add("7/3", Second) with { Caller = Next() };
        state = TransactionDecision.Add(state, add, Options, Now).Next!;
        Assert.Equal(new(1, 5, 2), state.Connection);
        Assert.Same(state, TransactionDecision.Add(state, add with { Caller = Next() }, Options, Now).Next);
        var end = End("7/3", isCommit: true) with { Caller = Next() };
        state = TransactionDecision.End(state, end, -1, Now).Next!;
        Assert.Equal(new(1, 5, 4), state.Connection);
        Assert.True(TransactionConnection.Of(add.Caller).IsBefore(state.Connection));
        state = TransactionDocument.Parse(TransactionDocument.Of(default, TransactionDecision.Complete(state, Now)).ToBytes()).ToState();
        state = TransactionDecision.Add(state, Add("7/3", First) with { Caller = Next() }, Options, Now).Next!;
        Assert.Equal((TransactionPhase.Ongoing, new(1, 5, 5)), (state.Phase, state.Connection));
        Assert.True(TransactionConnection.Of(end.Caller).IsBefore(state.Connection));

        TransactionCaller Next() => new("c", 1, 5, ++sequence);
    }

    [Theory]
    [InlineData("Empty 7/3", true)]
    [InlineData("CompleteCommit 7/3", true)]
    [InlineData("CompleteAbort 7/3", true)]
    [InlineData("Ongoing 7/3", false)]
    [InlineData("PrepareCommit 7/3", false)]
    [InlineData("PrepareAbort 7/3", false)]
    public void Id_expires_at_rest_alone(string state, bool expires)
    {
        var due = Start + Options.IdExpiration;
        Assert.Equal(expires, TransactionDecision.IsExpired(State(state)!, Options, due));
        Assert.False(TransactionDecision.IsExpired(State(state)!, Options, due - TimeSpan.FromMilliseconds(1)));
    }

    private static AddToTransaction Add(string producer, TransactionPartition partition) => new()
    {
        TransactionalId = Id,
        Producer = Producer(producer),
        Partitions = [partition],
    };

    private static EndTransaction End(string producer, bool isCommit) => new()
    {
        TransactionalId = Id,
        Producer = Producer(producer),
        IsCommit = isCommit,
    };

    private static void AssertOutcome(string before, string answer, string next, Func<TransactionState?, TransactionOutcome> decide)
    {
        var state = State(before);
        var outcome = decide(state);
        Assert.Equal((answer, next), (Text(outcome), ReferenceEquals(outcome.Next, state) ? "same" : Text(outcome.Next)));
    }

    private static string Text(in TransactionOutcome outcome) => outcome.Answer switch
    {
        null => $"needs {outcome.Need}",
        InitTransactionsResult { Error: ErrorCode.None } init => $"None {Text(init.Producer)}",
        EndTransactionResult { Error: ErrorCode.None } end => $"None {Text(end.Producer)}",
        ITransactionAnswer refused => $"{refused.Error}",
        var other => $"{other}",
    };

    private static string Text(TransactionState? state) => state is null ? "none" : $"{state.Phase} {Text(state.Producer)}"
        + (state.LastEpoch >= 0 ? $" last {state.LastEpoch}" : "")
        + (state.PreviousProducerId >= 0 ? $" previous {state.PreviousProducerId}" : "")
        + (state.NextProducerId >= 0 ? $" next {state.NextProducerId}" : "");

    private static string Text(ProducerIdentity producer) => $"{producer.ProducerId}/{producer.ProducerEpoch}";

    private static ProducerIdentity Producer(string text) => text.Split('/') is [var id, var epoch]
        ? new(long.Parse(id, CultureInfo.InvariantCulture), short.Parse(epoch, CultureInfo.InvariantCulture))
        : throw new FormatException(text);

    private static TransactionState? State(string text)
    {
        if (text == "none")
            return null;
        var words = text.Split(' ');
        var producer = Producer(words[1]);
        var state = new TransactionState
        {
            Phase = Enum.Parse<TransactionPhase>(words[0]),
            ProducerId = producer.ProducerId,
            Epoch = producer.ProducerEpoch,
            LastEpoch = (short)Of("last"),
            PreviousProducerId = Of("previous"),
            NextProducerId = Of("next"),
            Timeout = TimeSpan.FromSeconds(60),
            UpdatedAt = Start,
        };
        return state.IsEnding || state.Phase == TransactionPhase.Ongoing
            ? state with { Partitions = TransactionState.NoPartitions.Add(First), StartedAt = Start, Number = 4 } : state;

        long Of(string name) => Array.IndexOf(words, name) is var at && at < 0 ? -1
            : long.Parse(words[at + 1], CultureInfo.InvariantCulture);
    }
}
