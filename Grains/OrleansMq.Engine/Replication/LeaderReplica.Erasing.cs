using System.Collections.Immutable;

namespace OrleansMq.Replication;

// Records that compaction removes without a trace. A follower learns of them when it aligns, and never during an exchange: so each exchange
// with one that may not lead begins anew before records are erased.
//
//   limit          the compaction keeps what followers that catch up have not taken yet. Else they would begin again and again.
//   mark           the log's erased end is raised durably
//   announcement   followers that may not lead get a new session: they align with the new mark
//   replacement    the records are gone
//
// A leader, a compaction or a follower that ends at any step leaves a mark that is too high, at worst: a follower begins again needlessly.
internal sealed partial class LeaderReplica
{
    // No higher than what each replica has that joins the ISR in this epoch: late answers must not make one begin again. It is so by itself
    // unless the election was unclean.
    private long ErasedEnd => Math.Min(_log.ErasedEndOffset, Math.Max(EpochStart, _log.HighWatermark));

    /// <summary>Returns the offset from which on records must not be erased: what a follower that is catching up has not taken yet. Nothing
    /// may be erased while one ends below the erased end, since it began again and would have to do so once more.</summary>
    public long EraseLimit(long now)
    {
        if (!LeadsAt(now))
            return long.MaxValue;
        var lowest = long.MaxValue;
        foreach (var follower in _followers)
        {
            // One that is away for long takes up no more room than it must.
            if (follower.IsAligned && !MayLead(follower) && _membership.IsAlive(follower.Broker)
                && now - follower.AcknowledgedSentAt <= _options.MaxLagMs)
                lowest = Math.Min(lowest, follower.StatedEnd);
        }
        return lowest >= ErasedEnd ? lowest : 0;
    }

    /// <summary>Begins anew with each follower that may not lead, after the log's erased end was raised and before records go.</summary>
    public void BeforeErasing(long now)
    {
        if (!LeadsAt(now))
            return;
        foreach (var follower in _followers)
        {
            if (!_rules.AlignsBeforeErasing(MayLead(follower)))
                continue;
            follower.Begin(++_sessions);
            Send(follower, 0, [], 0, now);
        }
    }

    private bool MayLead(FollowerProgress follower) => follower.Identity is { } identity && MayLead(identity);

    // A write with an unknown outcome may be stored.
    private bool MayLead(ReplicaIdentity replica)
    {
        if (IsIn(_committed!, replica))
            return true;
        foreach (var proposed in _unsettled)
        {
            if (IsIn(proposed, replica))
                return true;
        }
        return false;
    }

    private bool IsIn(PartitionState state, ReplicaIdentity replica) => IsIn(state.Isr, replica) || IsIn(state.Elr, replica);

    private bool IsIn(ImmutableArray<ReplicaIdentity> members, ReplicaIdentity replica)
    {
        foreach (var member in members)
        {
            if (_rules.SameMember(member, replica))
                return true;
        }
        return false;
    }
}
