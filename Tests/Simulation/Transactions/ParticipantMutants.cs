using OrleansMq.Api;
using OrleansMq.Groups;
using OrleansMq.Groups.Offsets;
using OrleansMq.Producers;
using OrleansMq.Records;
using OrleansMq.Transactions;

namespace OrleansMq.Tests.Simulation.Transactions;

// Each mutant is a partition's leader, a gateway or a group with one wrong decision.

// --- Partitions ---

internal sealed class AppendedWithoutAsking : ParticipantRules
{
    public override bool MustAsk(bool isOpen) => false;

    public override ProducerDecision CheckBatch(ProducerStateManager producers, in RecordBatchHeader batch,
        in VerifiedTransaction verified) => base.CheckBatch(producers, batch, new VerifiedTransaction(long.MaxValue));
}

internal sealed class EndedNumberAppends : ParticipantRules
{
    public override ProducerDecision CheckBatch(ProducerStateManager producers, in RecordBatchHeader batch,
        in VerifiedTransaction verified) =>
        base.CheckBatch(producers, batch, verified.Number > 0 ? verified with { Number = long.MaxValue } : verified);
}

internal sealed class OldEpochAppends : ParticipantRules
{
    public override ProducerDecision CheckBatch(ProducerStateManager producers, in RecordBatchHeader batch,
        in VerifiedTransaction verified)
    {
        var decision = base.CheckBatch(producers, batch, verified);
        return decision.Outcome == ProducerOutcome.FencedEpoch ? ProducerDecision.Accepted : decision;
    }
}

internal sealed class MarkerOfAnyNumberEnds : ParticipantRules
{
    public override ProducerDecision CheckMarker(in ProducerState known, short producerEpoch, in TransactionMarker marker, bool raisesEpoch,
        long logEnd) => base.CheckMarker(known, producerEpoch, marker with { Number = 0 }, raisesEpoch, logEnd);
}

internal sealed class AcknowledgedAtOnce : ParticipantRules
{
    public override bool IsInForce(long offset, long highWatermark) => true;
}

internal sealed class AllIsStable : ParticipantRules
{
    public override long StableOffset(LogTransactions transactions, long highWatermark) => highWatermark;
}

internal sealed class EndedIsStable : ParticipantRules
{
    // Also where the high watermark has not passed the marker.
    public override long StableOffset(LogTransactions transactions, long highWatermark) =>
        Math.Min(highWatermark, transactions.Open() is [var oldest, ..] ? oldest.First : long.MaxValue);
}

internal sealed class LeaderThatIsAwayKnows : ParticipantRules
{
    public override ParticipantOutcome OutcomeOf(ErrorCode error) =>
        error == ErrorCode.NotLeaderOrFollower ? ParticipantOutcome.Done : base.OutcomeOf(error);
}

internal sealed class GroupThatIsAwayKnows : ParticipantRules
{
    public override ParticipantOutcome OutcomeOf(ErrorCode error) =>
        error == ErrorCode.NotCoordinator ? ParticipantOutcome.Done : base.OutcomeOf(error);
}

internal sealed class FencedCoordinatorTriesAgain : ParticipantRules
{
    public override ParticipantOutcome OutcomeOf(ErrorCode error) =>
        error == ErrorCode.TransactionCoordinatorFenced ? ParticipantOutcome.Retry : base.OutcomeOf(error);
}

// --- Groups ---

internal sealed class EndedNumberCommits : ParticipantRules
{
    public override OffsetOutcome<OffsetCommitResult> Commit(GroupOffsets offsets, TransactionOffsetCommit request, GroupTopics topics,
        GroupOptions options, DateTimeOffset now)
    {
        var outcome = base.Commit(offsets with { Fences = offsets.Fences.Clear() }, request, topics, options, now);
        return outcome with { Next = outcome.Next with { Fences = offsets.Fences } };
    }
}

internal sealed class EndOfAnyNumberCounts : ParticipantRules
{
    public override OffsetOutcome<GroupReply> End(GroupOffsets offsets, EndTransactionOffsets request, DateTimeOffset now) =>
        base.End(offsets with { Fences = offsets.Fences.Clear() },
            request with { Number = offsets.Pending.Find(request.Producer.ProducerId)?.Number ?? request.Number }, now);
}

internal sealed class OffsetOfTransactionWinsAlways : ParticipantRules
{
    // Also over a plain commit that was made after it.
    public override OffsetOutcome<OffsetCommitResult> Commit(GroupOffsets offsets, OffsetCommit request, GroupTopics topics,
        GroupOptions options, DateTimeOffset now)
    {
        var outcome = base.Commit(offsets, request, topics, options, now);
        return outcome with { Next = outcome.Next with { Pending = offsets.Pending } };
    }
}
