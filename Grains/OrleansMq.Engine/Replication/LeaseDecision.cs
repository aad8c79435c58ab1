namespace OrleansMq.Replication;

/// <summary>"Leadership is proved by acknowledgements of the current epoch from every counted ISR member within <c>leader.lease.ms</c>."
/// Pure.</summary>
internal static class LeaseDecision
{
    /// <summary>
    /// Until when the leader may serve reads and <c>acks=0/1</c>; <see cref="long.MaxValue"/> where nobody but the leader counts.
    /// </summary>
    /// <remarks>
    /// A lone leader holds its lease without asking anybody, also while an ELR is committed whose members may lead once membership has
    /// given the leader up. That is kept: asking the ELR would take reads away from the last replica that lives, for its members are those
    /// that do not answer. And it harms no invariant. What a replaced leader goes on showing lies below a high watermark that stands still
    /// while there is an ELR, so whoever of the ELR leads next holds it too, and readers who have met the new epoch refuse the old one
    /// (KIP-320). What it takes with <c>acks=0/1</c> was never promised. How long that may last is bounded by membership: a broker that was
    /// declared dead stops itself as soon as it learns of it.
    /// </remarks>
    /// <param name="acknowledgedSendTimes">For every counted member but the leader: when the latest request was <em>sent</em> that it
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
