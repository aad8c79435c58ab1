using OrleansMq.Api;
using OrleansMq.Groups;
using OrleansMq.Groups.Offsets;
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

    public virtual OffsetOutcome<OffsetCommitResult> Commit(GroupOffsets offsets, TransactionOffsetCommit request, GroupTopics topics,
        GroupOptions options, DateTimeOffset now) => TransactionOffsetDecision.Commit(offsets, request, topics, options, now);

    public virtual OffsetOutcome<OffsetCommitResult> Commit(GroupOffsets offsets, OffsetCommit request, GroupTopics topics,
        GroupOptions options, DateTimeOffset now) => OffsetDecision.Commit(offsets, request, topics, options, now);

    public virtual OffsetOutcome<GroupReply> End(GroupOffsets offsets, EndTransactionOffsets request, DateTimeOffset now) =>
        TransactionOffsetDecision.End(offsets, request, now);
}
