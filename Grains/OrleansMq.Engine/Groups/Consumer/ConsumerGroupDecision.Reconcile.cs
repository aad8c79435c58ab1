namespace OrleansMq.Groups.Consumer;

internal static partial class ConsumerGroupDecision
{
    /// <summary>Moves a member towards its target as far as possible now.</summary>
    /// <param name="group">The group.</param>
    /// <param name="member">The member.</param>
    /// <param name="owned">The partitions that the member reports; null if it reports none.</param>
    /// <param name="heard">The last epoch that the member has received. While it misses the responses, its heartbeats carry this
    /// epoch.</param>
    /// <param name="holders">The holders of all partitions, updated with the member.</param>
    /// <param name="now">The current time.</param>
    private static ConsumerGroup Reconcile(ConsumerGroup group, ConsumerMember member, PartitionSet? owned, int heard,
        PartitionHolders holders, DateTimeOffset now)
    {
        var next = NextAssignment(member, group.State.TargetEpoch, owned, heard, holders);
        if (ReferenceEquals(next, member))
            return group;
        holders.Change(member, next);
        group = group.With(group.State.With(next));
        if (next.IsClassic)
            return group; // Its deadlines are those for joining and syncing.
        group = group.Relax(next.MemberId);
        return next.Status == ConsumerMemberStatus.UnrevokedPartitions ? group.Hurry(next, now) : group;
    }

    private static ConsumerMember NextAssignment(ConsumerMember member, int targetEpoch, PartitionSet? owned, int heard,
        PartitionHolders holders)
    {
        if (member.IsSettled(targetEpoch))
            return member;
        if (member.Status == ConsumerMemberStatus.UnrevokedPartitions && MayHold(owned, member.Revoking))
            return member;
        var kept = member.Assigned.Intersect(member.Target);
        var revoked = member.Assigned.Except(kept);
        if (!revoked.IsEmpty && MayHold(owned, revoked))
            return StartRevoking(member, targetEpoch, kept, revoked, heard);
        var wanted = member.Target.Except(kept);
        var free = wanted.Where(partition => holders.IsFreeFor(partition, member.MemberId));
        var status = free.Count == wanted.Count ? ConsumerMemberStatus.Stable : ConsumerMemberStatus.UnreleasedPartitions;
        if (status == member.Status && member.Epoch == targetEpoch && free.IsEmpty && revoked.IsEmpty && member.Revoking.IsEmpty)
            return member;
        return member.Enter(status) with
        {
            Assigned = kept.Union(free),
            Revoking = PartitionSet.Empty,
            PreviousEpoch = member.Epoch == targetEpoch ? member.PreviousEpoch : heard,
            Epoch = targetEpoch,
        };
    }

    /// <summary>Tells a member to revoke partitions. If it has just revoked others, for an earlier target, those are free from now on. It
    /// then moves to an intermediate epoch, so that a late commit for them is rejected. Such an epoch exists, since the earlier target came
    /// after the member's epoch.</summary>
    private static ConsumerMember StartRevoking(ConsumerMember member, int targetEpoch, PartitionSet kept, PartitionSet revoked, int heard)
    {
        var next = member.Enter(ConsumerMemberStatus.UnrevokedPartitions) with { Assigned = kept, Revoking = revoked };
        return member.Status == ConsumerMemberStatus.UnrevokedPartitions ? next with { PreviousEpoch = heard, Epoch = targetEpoch - 1 }
            : next;
    }

    /// <summary>Whether a member may own any of these partitions. One that does not report its partitions may own all that it was ever
    /// assigned.</summary>
    private static bool MayHold(PartitionSet? owned, PartitionSet partitions) => owned is null || owned.Overlaps(partitions);

    /// <summary>Whether a partition that the member waits for is free by now.</summary>
    private static bool CanGetMore(ConsumerGroupState state, ConsumerMember member)
    {
        var holders = new PartitionHolders(state);
        return member.Target.Any(partition => !member.Assigned.Contains(partition) && holders.IsFreeFor(partition, member.MemberId));
    }
}

/// <summary>The holder of each partition of a group. Computed on first use, since most heartbeats change nothing.</summary>
internal sealed class PartitionHolders(ConsumerGroupState state)
{
    private Dictionary<TopicIdPartition, string>? _holders;

    /// <summary>Whether no other member holds a partition.</summary>
    public bool IsFreeFor(TopicIdPartition partition, string memberId) =>
        !Holders.TryGetValue(partition, out var holder) || holder == memberId;

    /// <summary>Updates the holders after a member has changed.</summary>
    public void Change(ConsumerMember before, ConsumerMember after)
    {
        if (_holders is null)
            return; // No holders were computed yet, so no partition was handed out: nothing to update.
        foreach (var partition in before.Assigned.Concat(before.Revoking))
            _holders.Remove(partition);
        Add(_holders, after);
    }

    private Dictionary<TopicIdPartition, string> Holders
    {
        get
        {
            if (_holders is not null)
                return _holders;
            _holders = [];
            foreach (var member in state.Members.Values)
                Add(_holders, member);
            return _holders;
        }
    }

    private static void Add(Dictionary<TopicIdPartition, string> holders, ConsumerMember member)
    {
        foreach (var partition in member.Assigned.Concat(member.Revoking))
            Diagnostics.Invariant.Check(holders.TryAdd(partition, member.MemberId), "two members of a group hold one partition");
    }
}
