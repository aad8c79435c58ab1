using System.Collections.Immutable;
using OrleansMq.Log;
using OrleansMq.Replication;

namespace OrleansMq.Tests.Simulation;

// Each mutant is the shipped protocol with one wrong decision, named after the paragraph of the protocol that it breaks. Three are missing
// that no checker can detect, because other rules cover for them. They stay in the protocol as a second line of defence:
// - A push whose previous epoch is not compared. An alignment is bound to (epoch, session). After it only this leader's pushes are
//   accepted, and no log of a leader is ever truncated, so the epochs agree. It would matter if an alignment were wrong.
// - min.insync.replicas counted by the committed ISR alone. A member about to leave an ISR that becomes too small is proposed for the ELR,
//   and the high watermark stands still as soon as an ELR is proposed. A member that leaves because it lost its tail has no counted end.
//   The rule only makes the refusal come earlier.
// - Truncation below the own high watermark, where no election was unclean. No leader elected by the rules asks for it.

// --- Roles ---

internal sealed class LeaderIgnoresItsOwnReplica : ReplicationRules
{
    public override bool LeadsStill(int epoch, int fence) => true;
}

// --- State ---

internal sealed class SkipCompareAndSwap : ReplicationRules
{
    public override StoreOutcome AfterFailedWrite(PartitionState stored, Guid ownToken) => StoreOutcome.Adopt;
}

internal sealed class AnyReadProvesRestore : ReplicationRules
{
    public override bool ProvesRestore(int storedEpoch, int fenceAtRead) => fenceAtRead >= 0;
}

// --- Claiming ---

internal sealed class AnyReplicaMayClaim : ReplicationRules
{
    public override ClaimDecision Claim(PartitionState state, ReplicaIdentity self, Guid topicId, int fence, Guid token,
        IMembership membership, bool unclean) =>
        base.Claim(state with { Isr = [.. state.Isr.Where(m => m.Broker != self.Broker), self] }, self, topicId, fence, token, membership,
            unclean);
}

internal sealed class StoreIsAlwaysRight : ReplicationRules
{
    public override ClaimDecision Claim(PartitionState state, ReplicaIdentity self, Guid topicId, int fence, Guid token,
        IMembership membership, bool unclean) =>
        base.Claim(state, self, topicId, 0, token, membership, unclean);
}

// --- Fence ---

internal sealed class NoEpochCheck : ReplicationRules
{
    public override FenceOutcome Fence(int epoch, int fence) => epoch > fence ? FenceOutcome.Raise : FenceOutcome.Current;
}

internal sealed class FenceNotDurable : ReplicationRules
{
    public override int FenceAfterRestart(int durableFence, int latestEpochInLog) => 0;
}

// --- Incarnation ---

internal sealed class NoIncarnation : ReplicationRules
{
    public override bool SameMember(ReplicaIdentity one, ReplicaIdentity other) => one.Broker == other.Broker;
}

internal sealed class KeepIncarnation : ReplicationRules
{
    public override bool MustRenew(OpenedLog log) => false;
}

internal sealed class LostMembersStayEligible : ReplicationRules
{
    public override PartitionState? ProposeIsr(PartitionState committed, ReplicaIdentity self, IReadOnlyList<FollowerView> followers,
        long logStart, long highWatermark, long replicated, long epochStart, long maxLagMs, int minInsync) =>
        base.ProposeIsr(committed, self, [.. followers.Select(f => f.Identity is { } now ? f with { Identity = Was(committed, now) } : f)],
            logStart, highWatermark, replicated, epochStart, maxLagMs, minInsync);

    private static ReplicaIdentity Was(PartitionState committed, ReplicaIdentity now) =>
        committed.Isr.Concat(committed.Elr).FirstOrDefault(m => m.Broker == now.Broker, now);
}

internal sealed class SyncPromisesAtOnce : ReplicationRules
{
    public override bool HasFlushedCounted(long flushed, long counted, long logEnd) => true;
}

internal sealed class UnflushedCounts : ReplicationRules
{
    public override long CountedEnd(bool sync, long logEnd, long flushedEnd) => logEnd;
}

// --- Push ---

internal sealed class TruncateToHighWatermark : ReplicationRules
{
    public override AlignmentDecision Align(int leaderEpoch, int askedEpoch, LeaderEpochEntry answer, LeaderEpochEntry ownEnd, long logEnd,
        long highWatermark) =>
        new(AlignmentOutcome.Aligned, Math.Min(highWatermark, logEnd));
}

internal sealed class NeverTruncate : ReplicationRules
{
    public override AlignmentDecision Align(int leaderEpoch, int askedEpoch, LeaderEpochEntry answer, LeaderEpochEntry ownEnd, long logEnd,
        long highWatermark) =>
        new(AlignmentOutcome.Aligned, logEnd);
}

internal sealed class AlignToAnyAnswer : ReplicationRules
{
    public override bool SameTalk((int Epoch, int Session, int Leader) answer, (int Epoch, int Session, int Leader) talk, int fence) =>
        talk.Leader >= 0;
}

internal sealed class AcceptGaps : ReplicationRules
{
    public override PushOutcome Push(long baseOffset, long nextOffset, long previousEnd, int previousEpoch, long logStart, long logEnd,
        int ownPreviousEpoch) =>
        base.Push(baseOffset, nextOffset, Math.Min(previousEnd, logEnd), previousEpoch, logStart, logEnd, ownPreviousEpoch);
}

internal sealed class EpochBeginsWithItsFirstBatch : ReplicationRules
{
    public override long EpochStart(long startAtLeader, long batchBase) => batchBase;
}

internal sealed class NeverBeginAgain : ReplicationRules
{
    public override bool MustReset(long leaderLogStart, long logEnd) => false;
}

// --- High watermark ---

internal sealed class AckBeforeReplication : ReplicationRules
{
    public override bool IsReplicated(long endOffset, long highWatermark) => true;
}

internal sealed class AnsweredIsWritten : ReplicationRules
{
    public override bool IsReplicated(long endOffset, long highWatermark) => endOffset <= highWatermark + 1;
}

internal sealed class CommittedIsrOnly : ReplicationRules
{
    public override ImmutableArray<ReplicaIdentity> Union(PartitionState committed, IReadOnlyList<PartitionState> proposed) =>
        committed.Isr;
}

internal sealed class ProposedIsrOnly : ReplicationRules
{
    public override ImmutableArray<ReplicaIdentity> Union(PartitionState committed, IReadOnlyList<PartitionState> proposed) =>
        proposed is [.., var last] ? last.Isr : committed.Isr;
}

internal sealed class ProposedIsrIsEnough : ReplicationRules
{
    public override int CountInsync(PartitionState committed, IReadOnlyList<PartitionState> proposed) =>
        proposed is [.., var last] ? last.Isr.Length : committed.Isr.Length;
}

internal sealed class UnknownConfigurationRequiresOne : ReplicationRules
{
    public override int MinInsync(int? configured) => configured ?? 1;
}

internal sealed class UnknownEndsIgnored : ReplicationRules
{
    public override long NextHighWatermark(long current, ReadOnlySpan<long?> countedEnds, bool enoughReplicas, bool hasElr) =>
        base.NextHighWatermark(current, [.. countedEnds.ToArray().Where(e => e is not null)], enoughReplicas, hasElr);
}

internal sealed class ElrDoesNotHoldTheHighWatermark : ReplicationRules
{
    public override long NextHighWatermark(long current, ReadOnlySpan<long?> countedEnds, bool enoughReplicas, bool hasElr) =>
        base.NextHighWatermark(current, countedEnds, enoughReplicas: true, hasElr: false);
}

internal sealed class UnflushedAnsweredBeforeReplication : ReplicationRules
{
    public override long NextReplicated(long current, ReadOnlySpan<long?> logEnds, long highWatermark, bool enoughReplicas, bool hasElr) =>
        logEnds.ToArray().Max() ?? current;
}

internal sealed class UnflushedAnsweredBesideAnElr : ReplicationRules
{
    public override long NextReplicated(long current, ReadOnlySpan<long?> logEnds, long highWatermark, bool enoughReplicas, bool hasElr) =>
        base.NextReplicated(current, logEnds, highWatermark, enoughReplicas: true, hasElr: false);
}

internal sealed class JoinWithoutUnflushedAnswers : ReplicationRules
{
    public override PartitionState? ProposeIsr(PartitionState committed, ReplicaIdentity self, IReadOnlyList<FollowerView> followers,
        long logStart, long highWatermark, long replicated, long epochStart, long maxLagMs, int minInsync) =>
        base.ProposeIsr(committed, self, followers, logStart, highWatermark, replicated: 0, epochStart, maxLagMs, minInsync);
}

internal sealed class LowerMinimumEndsTheElrAtOnce : ReplicationRules
{
    public override long NextHighWatermark(long current, ReadOnlySpan<long?> countedEnds, bool enoughReplicas, bool hasElr) =>
        base.NextHighWatermark(current, countedEnds, enoughReplicas, hasElr: false);
}

internal sealed class JoinBeforeCaughtUp : ReplicationRules
{
    public override PartitionState? ProposeIsr(PartitionState committed, ReplicaIdentity self, IReadOnlyList<FollowerView> followers,
        long logStart, long highWatermark, long replicated, long epochStart, long maxLagMs, int minInsync) =>
        base.ProposeIsr(committed, self, [.. followers.Select(f => f with { CountedEnd = long.MaxValue })], logStart, highWatermark,
            replicated, epochStart, maxLagMs, minInsync);
}

internal sealed class JoinAtHighWatermarkOnly : ReplicationRules
{
    public override PartitionState? ProposeIsr(PartitionState committed, ReplicaIdentity self, IReadOnlyList<FollowerView> followers,
        long logStart, long highWatermark, long replicated, long epochStart, long maxLagMs, int minInsync) =>
        base.ProposeIsr(committed, self, followers, logStart, highWatermark, replicated, 0, maxLagMs, minInsync);
}

internal sealed class JoinWithDeletedRecords : ReplicationRules
{
    public override PartitionState? ProposeIsr(PartitionState committed, ReplicaIdentity self, IReadOnlyList<FollowerView> followers,
        long logStart, long highWatermark, long replicated, long epochStart, long maxLagMs, int minInsync) =>
        base.ProposeIsr(committed, self, followers, 0, highWatermark, replicated, epochStart, maxLagMs, minInsync);
}

internal sealed class UnalignedLogStartCounts : ReplicationRules
{
    public override long StatedStart(PushAnswerOutcome outcome, long logStart) => logStart;
}

// --- A new leader ---

internal sealed class LatestBeforeEpochStart : ReplicationRules
{
    public override bool KnowsLatest(long highWatermark, long epochStart) => true;
}

// --- Idempotence ---

internal sealed class DuplicateAcknowledgedEarly : ReplicationRules
{
    public override bool IsDuplicateReplicated(long originalEnd, long highWatermark) => true;
}

// --- Message ids: the simulated log asks for these ---

internal sealed class MessageIdsOfCutBatchesStay : ReplicationRules;

internal sealed class FollowersNoteNoMessageIds : ReplicationRules;

internal sealed class ClaimsCountWithoutTheirBatch : ReplicationRules;

internal sealed class DuplicateMessageIdAcknowledgedEarly : ReplicationRules;

internal sealed class LogStartPassesMessageIds : ReplicationRules;

// --- Lease ---

internal sealed class ReadsWithoutLease : ReplicationRules
{
    public override long LeaseUntil(ReadOnlySpan<long> acknowledgedSendTimes, long leaseMs) => long.MaxValue;
}

// --- Handover ---

internal sealed class ResignUndrained : ReplicationRules
{
    public override bool IsDrained(long logEnd, long highWatermark, long? successorEnd) => true;
}

internal sealed class LeaderResignsInSecret : ReplicationRules
{
    public override PartitionState Resigned(PartitionState committed, int successor) =>
        base.Resigned(committed, successor) with { LeaderToken = committed.LeaderToken };
}

// --- Topics ---

internal sealed class SameNameSameTopic : ReplicationRules
{
    public override bool SameTopic(Guid one, Guid other) => true;
}

// --- Unclean election ---

internal sealed class UncleanUnreported : ReplicationRules
{
    public override ClaimDecision Claim(PartitionState state, ReplicaIdentity self, Guid topicId, int fence, Guid token,
        IMembership membership, bool unclean) =>
        base.Claim(state, self, topicId, fence, token, membership, unclean) is { Next: { } next } claim
            ? claim with { Next = next with { UncleanEpoch = state.UncleanEpoch } }
            : base.Claim(state, self, topicId, fence, token, membership, unclean);
}

internal sealed class BoundByLostHighWatermark : ReplicationRules
{
    public override long AlignmentFloor(long highWatermark, int highWatermarkEpoch, int uncleanEpoch) => highWatermark;
}

internal sealed class KeepWhatCompactionLeft : ReplicationRules
{
    public override bool MustBeginAgain(long truncateTo, long logStart, long compactedEnd) => truncateTo < logStart;
}

// --- Compaction ---

internal sealed class KeepWhatWasDeleted : ReplicationRules
{
    public override bool MissesErased(long leaderErasedEnd, long logEnd) => false;
}

internal sealed class EraseUnderAnExchange : ReplicationRules
{
    public override bool AlignsBeforeErasing(bool mayLead) => false;
}

// --- A changing replica set ---

internal sealed class ReassignedBeforeCaughtUp : ReplicationRules
{
    public override ReassignmentDecision Reassign(PartitionState committed, int self) =>
        base.Reassign(
            committed with { Isr = [.. committed.Isr, .. committed.Reassignment.Select(b => new ReplicaIdentity(b, Guid.Empty))] }, self);
}

// --- Liveness ---

internal sealed class NeverAligned : ReplicationRules
{
    public override bool SameTalk((int Epoch, int Session, int Leader) answer, (int Epoch, int Session, int Leader) talk, int fence) =>
        false;
}

internal sealed class NeverReassigned : ReplicationRules
{
    public override ReassignmentDecision Reassign(PartitionState committed, int self) => new(ReassignmentOutcome.Wait);
}
