using System.Collections.Immutable;
using OrleansMq.Log;
using OrleansMq.Partitions;

namespace OrleansMq.Replication;

/// <summary>
/// The decisions of the replication protocol, as the roles call them.
/// </summary>
/// <remarks>
/// Rules are virtual for the simulation's mutants only, here and in <see cref="Coordination.CoordinatorRules"/> with its group rules. A
/// mutant overrides one rule with a mistake, and the simulation's checkers must detect it. The product uses the classes unchanged.
/// </remarks>
internal class ReplicationRules
{
    /// <summary>The protocol.</summary>
    public static readonly ReplicationRules Shipped = new();

    /// <inheritdoc cref="ClaimDecision.Decide"/>
    public virtual ClaimDecision Claim(PartitionState state, ReplicaIdentity self, Guid topicId, int fence, Guid token,
        IMembership membership, bool unclean) =>
        ClaimDecision.Decide(state, self, topicId, fence, token, membership, unclean, SameMember, SameTopic);

    /// <inheritdoc cref="StoreDecision.AfterFailedWrite"/>
    public virtual StoreOutcome AfterFailedWrite(PartitionState stored, Guid ownToken) => StoreDecision.AfterFailedWrite(stored, ownToken);

    /// <inheritdoc cref="StoreDecision.ProvesRestore"/>
    public virtual bool ProvesRestore(int storedEpoch, int fenceAtRead) => StoreDecision.ProvesRestore(storedEpoch, fenceAtRead);

    /// <inheritdoc cref="FenceDecision.Decide"/>
    public virtual FenceOutcome Fence(int epoch, int fence) => FenceDecision.Decide(epoch, fence);

    /// <inheritdoc cref="FenceDecision.AfterRestart"/>
    public virtual int FenceAfterRestart(int durableFence, int latestEpochInLog) =>
        FenceDecision.AfterRestart(durableFence, latestEpochInLog);

    /// <summary>Whether a message, a claim or a directory belongs to this topic. A topic that was deleted and created again is another
    /// one.</summary>
    public virtual bool SameTopic(Guid one, Guid other) => one == other;

    /// <summary>Whether a leader still leads, as far as its own replica knows.</summary>
    public virtual bool LeadsStill(int epoch, int fence) => Fence(epoch, fence) != FenceOutcome.Refuse;

    /// <summary>Whether an answer belongs to the current exchange: it has the same epoch and session, and no later epoch was seen
    /// since.</summary>
    public virtual bool SameTalk((int Epoch, int Session, int Leader) answer, (int Epoch, int Session, int Leader) talk, int fence) =>
        answer == talk && Fence(answer.Epoch, fence) == FenceOutcome.Current;

    /// <inheritdoc cref="IncarnationDecision.MustRenew"/>
    public virtual bool MustRenew(OpenedLog log) => IncarnationDecision.MustRenew(log);

    /// <inheritdoc cref="AlignmentDecision.MustBeginAgain"/>
    public virtual bool MustBeginAgain(long truncateTo, long logStart, long compactedEnd) =>
        AlignmentDecision.MustBeginAgain(truncateTo, logStart, compactedEnd);

    /// <inheritdoc cref="IncarnationDecision.SameMember"/>
    public virtual bool SameMember(ReplicaIdentity one, ReplicaIdentity other) => IncarnationDecision.SameMember(one, other);

    /// <inheritdoc cref="IsrDecision.MinInsync"/>
    public virtual int MinInsync(int? configured) => IsrDecision.MinInsync(configured);

    /// <inheritdoc cref="IsrDecision.Propose"/>
    public virtual PartitionState? ProposeIsr(PartitionState committed, ReplicaIdentity self, IReadOnlyList<FollowerView> followers,
        long logStart, long highWatermark, long replicated, long epochStart, long maxLagMs, int minInsync) =>
        IsrDecision.Propose(committed, self, followers, logStart, highWatermark, replicated, epochStart, maxLagMs, minInsync);

    /// <inheritdoc cref="HighWatermarkDecision.Union"/>
    public virtual ImmutableArray<ReplicaIdentity> Union(PartitionState committed, IReadOnlyList<PartitionState> proposed) =>
        HighWatermarkDecision.Union(committed, proposed);

    /// <inheritdoc cref="HighWatermarkDecision.CountInsync"/>
    public virtual int CountInsync(PartitionState committed, IReadOnlyList<PartitionState> proposed) =>
        HighWatermarkDecision.CountInsync(committed, proposed);

    /// <inheritdoc cref="IsrDecision.StatedStart"/>
    public virtual long StatedStart(PushAnswerOutcome outcome, long logStart) => IsrDecision.StatedStart(outcome, logStart);

    /// <inheritdoc cref="HighWatermarkDecision.CountedEnd"/>
    public virtual long CountedEnd(bool sync, long logEnd, long flushedEnd) => HighWatermarkDecision.CountedEnd(sync, logEnd, flushedEnd);

    /// <inheritdoc cref="FlushDecision.HasFlushedCounted"/>
    public virtual bool HasFlushedCounted(long flushed, long counted, long logEnd) =>
        FlushDecision.HasFlushedCounted(flushed, counted, logEnd);

    /// <inheritdoc cref="HighWatermarkDecision.Next"/>
    public virtual long NextHighWatermark(long current, ReadOnlySpan<long?> countedEnds, bool enoughReplicas, bool hasElr) =>
        HighWatermarkDecision.Next(current, countedEnds, enoughReplicas, hasElr);

    /// <inheritdoc cref="HighWatermarkDecision.NextReplicated"/>
    public virtual long NextReplicated(long current, ReadOnlySpan<long?> logEnds, long highWatermark, bool enoughReplicas, bool hasElr) =>
        HighWatermarkDecision.NextReplicated(current, logEnds, highWatermark, enoughReplicas, hasElr);

    /// <inheritdoc cref="HighWatermarkDecision.IsReplicated"/>
    public virtual bool IsReplicated(long endOffset, long highWatermark) => HighWatermarkDecision.IsReplicated(endOffset, highWatermark);

    /// <inheritdoc cref="HighWatermarkDecision.IsDuplicateReplicated"/>
    public virtual bool IsDuplicateReplicated(long originalEnd, long highWatermark) =>
        HighWatermarkDecision.IsDuplicateReplicated(originalEnd, highWatermark);

    /// <inheritdoc cref="HighWatermarkDecision.KnowsLatest"/>
    public virtual bool KnowsLatest(long highWatermark, long epochStart) => HighWatermarkDecision.KnowsLatest(highWatermark, epochStart);

    /// <inheritdoc cref="LeaseDecision.Until"/>
    public virtual long LeaseUntil(ReadOnlySpan<long> acknowledgedSendTimes, long leaseMs) =>
        LeaseDecision.Until(acknowledgedSendTimes, leaseMs);

    /// <inheritdoc cref="HandoverDecision.ChooseSuccessor"/>
    public virtual int ChooseSuccessor(PartitionState committed, int self, int? wanted, IMembership membership) =>
        HandoverDecision.ChooseSuccessor(committed, self, wanted, membership);

    /// <inheritdoc cref="HandoverDecision.IsDrained"/>
    public virtual bool IsDrained(long logEnd, long highWatermark, long? successorEnd) =>
        HandoverDecision.IsDrained(logEnd, highWatermark, successorEnd);

    /// <inheritdoc cref="ReassignmentDecision.Begin"/>
    public virtual PartitionState? BeginReassignment(PartitionState committed, ImmutableArray<int> target) =>
        ReassignmentDecision.Begin(committed, target);

    /// <inheritdoc cref="ReassignmentDecision.Decide"/>
    public virtual ReassignmentDecision Reassign(PartitionState committed, int self) => ReassignmentDecision.Decide(committed, self);

    /// <summary>Returns the start of an epoch, given the leader's start of it.</summary>
    public virtual long EpochStart(long startAtLeader, long batchBase) => startAtLeader;

    /// <inheritdoc cref="HandoverDecision.Resigned"/>
    public virtual PartitionState Resigned(PartitionState committed, int successor) => HandoverDecision.Resigned(committed, successor);

    /// <inheritdoc cref="PushDecision.Decide"/>
    public virtual PushOutcome Push(long baseOffset, long nextOffset, long previousEnd, int previousEpoch, long logStart, long logEnd,
        int ownPreviousEpoch) =>
        PushDecision.Decide(baseOffset, nextOffset, previousEnd, previousEpoch, logStart, logEnd, ownPreviousEpoch);

    /// <inheritdoc cref="PushDecision.MustReset"/>
    public virtual bool MustReset(long leaderLogStart, long logEnd) => PushDecision.MustReset(leaderLogStart, logEnd);

    /// <inheritdoc cref="AlignmentDecision.Decide"/>
    public virtual AlignmentDecision Align(int leaderEpoch, int askedEpoch, LeaderEpochEntry answer, LeaderEpochEntry ownEnd, long logEnd,
        long highWatermark) =>
        AlignmentDecision.Decide(leaderEpoch, askedEpoch, answer, ownEnd, logEnd, highWatermark);

    /// <inheritdoc cref="AlignmentDecision.MissesErased"/>
    public virtual bool MissesErased(long leaderErasedEnd, long logEnd) => AlignmentDecision.MissesErased(leaderErasedEnd, logEnd);

    /// <summary>Whether a follower must align again before the leader erases records. One that may lead holds all below the high
    /// watermark.</summary>
    public virtual bool AlignsBeforeErasing(bool mayLead) => !mayLead;

    /// <inheritdoc cref="AlignmentDecision.Floor"/>
    public virtual long AlignmentFloor(long highWatermark, int highWatermarkEpoch, int uncleanEpoch) =>
        AlignmentDecision.Floor(highWatermark, highWatermarkEpoch, uncleanEpoch);
}
