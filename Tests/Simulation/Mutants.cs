using System.Collections.Immutable;
using OrleansMq.Log;
using OrleansMq.Replication;

namespace OrleansMq.Tests.Simulation;

// Each is the shipped protocol with one decision made wrong.

internal sealed class AckBeforeReplication : ReplicationRules
{
    public override bool IsReplicated(long endOffset, long highWatermark) => true;
}

internal sealed class NoEpochCheck : ReplicationRules
{
    public override FenceOutcome Fence(int epoch, int fence) => epoch > fence ? FenceOutcome.Raise : FenceOutcome.Current;
}

internal sealed class FenceNotDurable : ReplicationRules
{
    public override int FenceAfterRestart(int durableFence, int latestEpochInLog) => 0;
}

internal sealed class TruncateToHighWatermark : ReplicationRules
{
    public override AlignmentDecision Align(int askedEpoch, LeaderEpochEntry answer, LeaderEpochEntry ownEnd, long logEnd, long highWatermark) =>
        new(AlignmentOutcome.Aligned, Math.Min(highWatermark, logEnd));
}

internal sealed class NeverTruncate : ReplicationRules
{
    public override AlignmentDecision Align(int askedEpoch, LeaderEpochEntry answer, LeaderEpochEntry ownEnd, long logEnd, long highWatermark) =>
        new(AlignmentOutcome.Aligned, logEnd);
}

internal sealed class CommittedIsrOnly : ReplicationRules
{
    public override ImmutableArray<ReplicaIdentity> Union(PartitionState committed, IReadOnlyList<PartitionState> proposed) => committed.Isr;
}

internal sealed class ProposedIsrOnly : ReplicationRules
{
    public override ImmutableArray<ReplicaIdentity> Union(PartitionState committed, IReadOnlyList<PartitionState> proposed) =>
        proposed is [.., var last] ? last.Isr : committed.Isr;
}

internal sealed class NoIncarnation : ReplicationRules
{
    public override bool SameMember(ReplicaIdentity one, ReplicaIdentity other) => one.Broker == other.Broker;
}

internal sealed class DuplicateAcknowledgedEarly : ReplicationRules
{
    public override bool IsDuplicateReplicated(long originalEnd, long highWatermark) => true;
}

internal sealed class SkipCompareAndSwap : ReplicationRules
{
    public override StoreOutcome AfterFailedWrite(PartitionState stored, Guid ownToken) => StoreOutcome.Adopt;
}

internal sealed class LatestBeforeEpochStart : ReplicationRules
{
    public override bool KnowsLatest(long highWatermark, long epochStart) => true;
}

internal sealed class JoinBeforeCaughtUp : ReplicationRules
{
    public override PartitionState? ProposeIsr(PartitionState committed, ReplicaIdentity self, IReadOnlyList<FollowerView> followers, long highWatermark,
        long epochStart, long maxLagMs, int minInsync) =>
        base.ProposeIsr(committed, self, [.. followers.Select(f => f with { CountedEnd = long.MaxValue })], highWatermark, epochStart, maxLagMs, minInsync);
}

internal sealed class AnyReplicaMayClaim : ReplicationRules
{
    public override ClaimDecision Claim(PartitionState state, ReplicaIdentity self, Guid topicId, int fence, Guid token, IMembership membership, bool unclean) =>
        base.Claim(state with { Isr = [.. state.Isr.Where(m => m.Broker != self.Broker), self] }, self, topicId, fence, token, membership, unclean);
}

internal sealed class ElrDoesNotHoldTheHighWatermark : ReplicationRules
{
    public override long NextHighWatermark(long current, IEnumerable<long?> countedEnds, bool enoughReplicas, bool hasElr) =>
        base.NextHighWatermark(current, countedEnds, enoughReplicas: true, hasElr: false);
}

internal sealed class UnknownEndsIgnored : ReplicationRules
{
    public override long NextHighWatermark(long current, IEnumerable<long?> countedEnds, bool enoughReplicas, bool hasElr) =>
        base.NextHighWatermark(current, countedEnds.Where(e => e is not null), enoughReplicas, hasElr);
}

internal sealed class ReadsWithoutLease : ReplicationRules
{
    public override long LeaseUntil(IEnumerable<long> acknowledgedSendTimes, long leaseMs) => long.MaxValue;
}

internal sealed class JoinAtHighWatermarkOnly : ReplicationRules
{
    public override PartitionState? ProposeIsr(PartitionState committed, ReplicaIdentity self, IReadOnlyList<FollowerView> followers, long highWatermark,
        long epochStart, long maxLagMs, int minInsync) =>
        base.ProposeIsr(committed, self, followers, highWatermark, 0, maxLagMs, minInsync);
}
