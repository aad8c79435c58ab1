namespace OrleansMq.Replication;

/// <summary>
/// Whether a follower that catches up, and that nobody waits for, may be sent to at the pace that live traffic leaves, or must be sent to
/// as if it were waited for, so that it gets there. Pure.
/// </summary>
internal static class CatchUpDecision
{
    /// <summary>
    /// Whether it would never get there: over some time it came on by less than a quarter more than the leader's log grew. One that came on
    /// by nothing at all is not there, or has only begun: that says nothing.
    /// </summary>
    /// <param name="taken">By so many records its log grew.</param>
    /// <param name="grown">By so many the leader's did.</param>
    public static bool IsTooSlow(long taken, long grown) => taken > 0 && taken * 4 < grown * 5;

    /// <summary>Whether it is so near the end that it has to keep step to be in sync at any moment: no further behind than the leader's log
    /// grew over some time.</summary>
    /// <param name="lag">Records that it lacks.</param>
    /// <param name="grown">By so many records the leader's log grew.</param>
    public static bool IsNear(long lag, long grown) => lag <= grown;
}
