namespace OrleansMq.Replication;

/// <summary>The outcome of a request to lead.</summary>
internal enum ClaimOutcome
{
    /// <summary>Never returned.</summary>
    Unknown = 0,
    /// <summary>Write <see cref="ClaimDecision.Next"/>; lead once it is stored.</summary>
    Claim = 1,
    /// <summary>This replica may lack acknowledged records; it waits for a leader.</summary>
    NotEligible = 2,
    /// <summary>The disk has seen a later epoch than the store, so the store was restored from an old backup. Offline.</summary>
    StoreInThePast = 3,
    /// <summary>The topic was deleted and created again, and this directory belongs to the old one. Set it aside.</summary>
    OtherTopic = 4,
}

/// <summary>The first half of a claim: checks that this broker is eligible, and prepares the write of <c>LeaderEpoch+1</c> with a fresh
/// token. Pure.</summary>
/// <param name="Outcome">What to do.</param>
/// <param name="Next">With <see cref="ClaimOutcome.Claim"/> the state to write; else null.</param>
internal readonly record struct ClaimDecision(ClaimOutcome Outcome, PartitionState? Next = null)
{
    /// <summary>Decides on a claim.</summary>
    /// <param name="state">The stored state.</param>
    /// <param name="self">This replica.</param>
    /// <param name="topicId">The topic of its directory.</param>
    /// <param name="fence">The highest epoch on its disk.</param>
    /// <param name="token">A fresh random token.</param>
    /// <param name="membership">The live brokers. It may be wrong, which costs time, never records: the high watermark does not move while
    /// there is an ELR.</param>
    /// <param name="unclean">Whether to lead without being eligible, although acknowledged records may be lost.</param>
    /// <param name="sameMember">Whether two identities are the same member.</param>
    /// <param name="sameTopic">Whether two ids are the same topic's.</param>
    internal static ClaimDecision Decide(PartitionState state, ReplicaIdentity self, Guid topicId, int fence, Guid token,
        IMembership membership, bool unclean, Func<ReplicaIdentity, ReplicaIdentity, bool> sameMember, Func<Guid, Guid, bool> sameTopic)
    {
        if (!sameTopic(state.TopicId, topicId))
            return new ClaimDecision(ClaimOutcome.OtherTopic);
        if (fence > state.LeaderEpoch)
            return new ClaimDecision(ClaimOutcome.StoreInThePast);
        var claimed = state with { LeaderEpoch = state.LeaderEpoch + 1, Leader = self.Broker, LeaderToken = token,
            Successor = PartitionState.NoLeader };
        // There was no leader yet, so nothing was acknowledged: any replica may begin, and the others join by catching up.
        if (state.LeaderEpoch == 0 && state.Isr.IsEmpty && state.Replicas.Contains(self.Broker))
            return new ClaimDecision(ClaimOutcome.Claim, claimed with { Isr = [self], Elr = [] });
        if (state.Isr.Any(m => sameMember(m, self)))
            return new ClaimDecision(ClaimOutcome.Claim, claimed);
        // The high watermark has not moved since the ELR members left, so they hold all records below it. The old ISR does too, and stays
        // eligible.
        if (state.Elr.Any(m => sameMember(m, self)) && !state.Isr.Any(m => membership.IsAlive(m)))
            return new ClaimDecision(ClaimOutcome.Claim, claimed with
            {
                Isr = [self],
                Elr = [.. state.Isr.Concat(state.Elr).Where(m => m.Broker != self.Broker).Distinct()],
            });
        // Records that only other replicas have are lost, and those replicas are told: see PartitionState.UncleanEpoch.
        if (unclean && state.Replicas.Contains(self.Broker))
            return new ClaimDecision(ClaimOutcome.Claim, claimed with { Isr = [self], Elr = [], UncleanEpoch = claimed.LeaderEpoch });
        return new ClaimDecision(ClaimOutcome.NotEligible);
    }
}
