namespace OrleansMq.Replication;

/// <summary>Decides on the leader lease: acknowledgements of the current epoch from every counted ISR member within <c>leader.lease.ms</c>
/// prove leadership. Pure.</summary>
internal static class LeaseDecision
{
    /// <summary>
    /// Returns until when the leader may serve reads and <c>acks=0/1</c>; <see cref="long.MaxValue"/> if no other replica counts.
    /// </summary>
    /// <remarks>
    /// A lone leader always holds its lease, even while an ELR is committed whose members may lead once membership has declared the leader
    /// dead. This is deliberate: asking the ELR would stop reads on the last live replica, since its members are those that do not answer.
    /// It violates no invariant. A replaced leader shows only records below a high watermark that does not move while there is an ELR, so
    /// the next leader from the ELR has them too. Readers that have met the new epoch refuse the old one (KIP-320). Records appended with
    /// <c>acks=0/1</c> were never promised. Membership bounds the duration: a broker that was declared dead stops as soon as it learns of
    /// it.
    /// </remarks>
    /// <param name="acknowledgedSendTimes">For every counted member except the leader: when the latest request was <em>sent</em> that it
    /// acknowledged in this epoch, in milliseconds of the leader's clock.</param>
    /// <param name="leaseMs">The lease.</param>
    public static long Until(ReadOnlySpan<long> acknowledgedSendTimes, long leaseMs)
    {
        var earliest = long.MaxValue;
        foreach (var sentAt in acknowledgedSendTimes)
            earliest = Math.Min(earliest, sentAt);
        return earliest == long.MaxValue ? long.MaxValue : earliest + leaseMs;
    }
}
