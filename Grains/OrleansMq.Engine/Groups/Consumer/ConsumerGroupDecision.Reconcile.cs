namespace OrleansMq.Groups.Consumer;

public static partial class ConsumerGroupDecision
{
    /// <summary>Brings one member as far towards its target as it can go now.</summary>
    /// <param name="group">The group.</param>
    /// <param name="member">One of its members.</param>
    /// <param name="owned">What the member says it holds; null: it did not say.</param>
    /// <param name="heard">The epoch that the member has heard of: while it does not hear the answers, it goes on coming with this
    /// one.</param>
    /// <param name="holders">Who holds what; changed with the member.</param>
    /// <param name="now">The time.</param>
    private static ConsumerGroup Reconcile(ConsumerGroup group, ConsumerMember member, PartitionSet? owned, int heard,
        PartitionHolders holders,
        DateTimeOffset now)
    {
        var next = NextAssignment(member, group.State.TargetEpoch, owned, heard, holders);
        if (ReferenceEquals(next, member))
            return group;
        holders.Change(member, next);
        group = group.With(group.State.With(next));
        if (next.IsClassic)
            return group; // Its deadlines are those of joining and asking for the assignment.
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

    /// <summary>It is told to give something up. If it has just given other things up, for a target that is not the newest any more, these
    /// are free from now on: so it goes to an epoch between, and a commit of theirs that is late is refused. There is one: it was told to
    /// give them up for a target that came after its epoch.</summary>
    private static ConsumerMember StartRevoking(ConsumerMember member, int targetEpoch, PartitionSet kept, PartitionSet revoked, int heard)
    {
        var next = member.Enter(ConsumerMemberStatus.UnrevokedPartitions) with { Assigned = kept, Revoking = revoked };
        return member.Status == ConsumerMemberStatus.UnrevokedPartitions ? next with { PreviousEpoch = heard, Epoch = targetEpoch - 1 }
            : next;
    }

    /// <summary>A member that does not say what it holds may hold all that it ever got.</summary>
    private static bool MayHold(PartitionSet? owned, PartitionSet partitions) => owned is null || owned.Overlaps(partitions);

    /// <summary>Whether something that a member waits for is free by now.</summary>
    private static bool CanGetMore(ConsumerGroupState state, ConsumerMember member)
    {
        var holders = new PartitionHolders(state);
        return member.Target.Any(partition => !member.Assigned.Contains(partition) && holders.IsFreeFor(partition, member.MemberId));
    }
}

/// <summary>Who holds which partition of a group. Worked out when it is first asked for: most heartbeats change nothing.</summary>
internal sealed class PartitionHolders(ConsumerGroupState state)
{
    private Dictionary<TopicIdPartition, string>? _holders;

    /// <summary>Whether nobody else holds a partition.</summary>
    public bool IsFreeFor(TopicIdPartition partition, string memberId) =>
        !Holders.TryGetValue(partition, out var holder) || holder == memberId;

    /// <summary>A member holds something else than before.</summary>
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
