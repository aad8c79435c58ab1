namespace OrleansMq.Replication;

/// <summary>"Leadership is proved by acknowledgements of the current epoch from every counted ISR member within <c>leader.lease.ms</c>." Pure.</summary>
internal static class LeaseDecision
{
    /// <summary>Whether the leader may serve reads and <c>acks=0/1</c>.</summary>
    /// <param name="acknowledgedSendTimes">For every counted member but the leader: when the latest request was <em>sent</em> that it acknowledged in this
    /// epoch, in milliseconds of the leader's clock.</param>
    /// <param name="now">The leader's clock, milliseconds.</param>
    /// <param name="leaseMs">The lease.</param>
    public static bool IsHeld(IEnumerable<long> acknowledgedSendTimes, long now, long leaseMs)
    {
        foreach (var sentAt in acknowledgedSendTimes)
        {
            if (now - sentAt > leaseMs)
                return false;
        }
        return true;
    }
}
