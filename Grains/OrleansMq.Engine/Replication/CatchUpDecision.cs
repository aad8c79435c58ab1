namespace OrleansMq.Replication;

/// <summary>
/// Decides how a catching-up follower, for which no append waits, is served. It gets either what live traffic leaves, or the full speed of
/// an in-sync follower because it would not catch up otherwise. Pure.
/// </summary>
internal static class CatchUpDecision
{
    /// <summary>
    /// Whether the follower would never catch up: over an interval its log grew by less than 5/4 of the leader's growth. A follower without
    /// any progress is down, has only begun or waits for its turn, which proves nothing.
    /// </summary>
    /// <param name="taken">The growth of its log, in records.</param>
    /// <param name="grown">The growth of the leader's log, in records.</param>
    public static bool IsTooSlow(long taken, long grown) => taken > 0 && taken * 4 < grown * 5;

    /// <summary>Whether the follower is so near the end that it must keep up to be in sync at any moment: it is no further behind than the
    /// leader's log grew over an interval.</summary>
    /// <param name="lag">The records that it lacks.</param>
    /// <param name="grown">The growth of the leader's log, in records.</param>
    public static bool IsNear(long lag, long grown) => lag <= grown;
}
