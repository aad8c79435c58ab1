using System.Collections.Immutable;

namespace OrleansMq.Replication;

/// <summary>A leader's view of a follower for decisions about the ISR.</summary>
/// <param name="Broker">The follower.</param>
/// <param name="Identity">The identity in its last answer in this epoch; null before an answer.</param>
/// <param name="IsAlive">Whether membership lists it as alive.</param>
/// <param name="IsAligned">Whether its history agrees with the leader's, in this epoch and session.</param>
/// <param name="CountedEnd">Its log end (flushed, under <c>sync</c>); meaningless unless aligned.</param>
/// <param name="LogEnd">Its log end, flushed or not; meaningless unless aligned.</param>
/// <param name="LogStart">Its log start; meaningless unless aligned.</param>
/// <param name="LagMs">Milliseconds since it was last known to hold everything that the leader held.</param>
internal readonly record struct FollowerView(int Broker, ReplicaIdentity? Identity, bool IsAlive, bool IsAligned, long CountedEnd,
    long LogEnd, long LogStart, long LagMs);

/// <summary>Decides about the members of ISR and ELR. Pure.</summary>
internal static class IsrDecision
{
    /// <summary>Returns the <c>min.insync.replicas</c> that a leader uses. Without the topic's configuration no ISR is large enough:
    /// nothing is acknowledged to <c>acks=all</c>, the high watermark stands still, and members that leave stay eligible.</summary>
    public static int MinInsync(int? configured) => configured ?? int.MaxValue;

    /// <summary>Whether a member of the ISR must leave: declared dead, renewed, or behind or silent for longer than
    /// <paramref name="maxLagMs"/>.</summary>
    public static bool MustLeave(ReplicaIdentity member, in FollowerView follower, long maxLagMs) =>
        !follower.IsAlive || follower.LagMs > maxLagMs || (follower.Identity is { } now && now.Incarnation != member.Incarnation);

    /// <summary>Whether a follower may join: its log end is at least the high watermark and the start of this epoch, it holds what was
    /// acknowledged without a flush, and it has deleted what the leader has. Otherwise it could lead with deleted records, after their
    /// deletion was answered.</summary>
    public static bool MayJoin(in FollowerView follower, long highWatermark, long replicated, long epochStart, long logStart) =>
        follower is { IsAlive: true, IsAligned: true, Identity: not null } && follower.CountedEnd >= Math.Max(highWatermark, epochStart)
        && follower.LogEnd >= replicated && follower.LogStart >= logStart;

    /// <summary>Returns the log start that a follower's answer states; 0 while it is not aligned, since its alignment may have it begin
    /// again, lower.</summary>
    public static long StatedStart(PushAnswerOutcome outcome, long logStart) => outcome == PushAnswerOutcome.NotAligned ? 0 : logStart;

    /// <summary>
    /// Returns the state to propose, or null if nothing changes. If a departure leaves too few members for the high watermark to move, the
    /// departed go to the ELR, except those that lost their tail. An ISR that is large enough again clears the ELR.
    /// </summary>
    public static PartitionState? Propose(PartitionState committed, ReplicaIdentity self, IReadOnlyList<FollowerView> followers,
        long logStart, long highWatermark, long replicated, long epochStart, long maxLagMs, int minInsync)
    {
        if (IsSettled(committed, self, followers, maxLagMs, minInsync))
            return null;
        var isr = ImmutableArray.CreateBuilder<ReplicaIdentity>();
        var left = new List<ReplicaIdentity>();
        isr.Add(self);
        foreach (var follower in followers)
        {
            var wasMember = false;
            foreach (var member in committed.Isr)
            {
                if (member.Broker != follower.Broker)
                    continue;
                if (!MustLeave(member, follower, maxLagMs))
                {
                    isr.Add(member);
                    wasMember = true;
                }
                else if (follower.Identity is null || follower.Identity == member)
                    left.Add(member);
            }
            if (!wasMember && !left.Exists(m => m.Broker == follower.Broker)
                && MayJoin(follower, highWatermark, replicated, epochStart, logStart) && follower.LagMs <= maxLagMs)
                isr.Add(follower.Identity!.Value);
        }
        ImmutableArray<ReplicaIdentity> elr = isr.Count >= minInsync
            ? []
            : [.. committed.Elr.Concat(left).Where(m => !isr.Contains(m) && !IsRenewed(m, followers)).Distinct()];
        return SameMembers(isr, committed.Isr) && SameMembers(elr, committed.Elr)
            ? null : committed with { Isr = isr.ToImmutable(), Elr = elr };
    }

    // The usual case, checked without allocating: all replicas are in sync and stay so.
    private static bool IsSettled(PartitionState committed, ReplicaIdentity self, IReadOnlyList<FollowerView> followers, long maxLagMs,
        int minInsync)
    {
        if (committed.Isr.Length != followers.Count + 1 || committed.Elr.Length > 0 || committed.Isr.Length < minInsync
            || !committed.Isr.Contains(self))
            return false;
        foreach (var member in committed.Isr)
        {
            if (member.Broker != self.Broker && !Stays(member, followers, maxLagMs))
                return false;
        }
        return true;
    }

    private static bool Stays(ReplicaIdentity member, IReadOnlyList<FollowerView> followers, long maxLagMs)
    {
        for (var i = 0; i < followers.Count; i++)
        {
            if (followers[i].Broker == member.Broker)
                return !MustLeave(member, followers[i], maxLagMs);
        }
        return false;
    }

    private static bool IsRenewed(ReplicaIdentity member, IReadOnlyList<FollowerView> followers)
    {
        foreach (var follower in followers)
        {
            if (follower.Broker == member.Broker && follower.Identity is { } now && now != member)
                return true;
        }
        return false;
    }

    private static bool SameMembers(IReadOnlyList<ReplicaIdentity> one, ImmutableArray<ReplicaIdentity> other)
    {
        if (one.Count != other.Length)
            return false;
        foreach (var member in one)
        {
            if (!other.Contains(member))
                return false;
        }
        return true;
    }
}
