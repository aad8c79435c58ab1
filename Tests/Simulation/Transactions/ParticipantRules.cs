using OrleansMq.Producers;
using OrleansMq.Records;
using OrleansMq.Transactions;

namespace OrleansMq.Tests.Simulation.Transactions;

/// <summary>The decisions of gateways, partitions' leaders and groups. Virtual for mutants.</summary>
internal class ParticipantRules
{
    /// <summary>The protocol.</summary>
    public static readonly ParticipantRules Shipped = new();

    /// <summary>Whether a gateway asks the coordinator before it appends a batch.</summary>
    public virtual bool MustAsk(bool isOpen) => !isOpen;

    public virtual ProducerDecision CheckBatch(ProducerStateManager producers, in RecordBatchHeader batch,
        in VerifiedTransaction verified) => producers.Check(batch, verified);

    public virtual ProducerDecision CheckMarker(in ProducerState known, short producerEpoch, in TransactionMarker marker, bool raisesEpoch,
        long logEnd) => MarkerDecision.Decide(known, producerEpoch, marker, raisesEpoch, logEnd);

    /// <summary>Whether a batch or marker may be acknowledged.</summary>
    public virtual bool IsInForce(long offset, long highWatermark) => offset < highWatermark;

    public virtual long StableOffset(LogTransactions transactions, long highWatermark) => transactions.StableOffset(highWatermark);

    public virtual ParticipantOutcome OutcomeOf(ErrorCode error) => ParticipantOutcomes.Of(error);

    /// <summary>Whether a transaction has ended in a group: its number, and the last that ended there.</summary>
    public virtual bool HasEnded(long number, long lastEnded) => number <= lastEnded;

    /// <summary>Whether an offset of a committed transaction replaces the committed one, by the order in which both came.</summary>
    public virtual bool Replaces(long pending, long committed) => pending > committed;
}
