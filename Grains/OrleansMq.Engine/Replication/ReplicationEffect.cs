using OrleansMq.Log;

namespace OrleansMq.Replication;

/// <summary>What a role wants done outside. The host does it in this order and brings the answers back as inputs.</summary>
internal abstract record ReplicationEffect;

/// <summary>Sends a message; it may be lost. The memory of a push's batches is whoever's it was that gave them to
/// <see cref="LeaderReplica.OnPushFilled"/>.</summary>
/// <param name="To">The broker.</param>
/// <param name="Message">What to say.</param>
/// <param name="Lane">Of a push with batches, as of <see cref="FillPush"/>; messages of different lanes may overtake each other.</param>
internal sealed record SendMessage(int To, ReplicationMessage Message, PushLane Lane = PushLane.Live) : ReplicationEffect;

/// <summary>
/// Reads whole batches for a push, outside the lock; answer exactly once: with <see cref="LeaderReplica.OnPushFilled"/>, whatever has
/// become of the follower meanwhile. At most one is outstanding for each follower. A log that cannot be read goes offline.
/// </summary>
/// <param name="To">The follower.</param>
/// <param name="Session">Comes back with the answer.</param>
/// <param name="From">The first batch is the first that ends above this; comes back with the answer.</param>
/// <param name="Limit">The log's end at this moment: no batch at or above it.</param>
/// <param name="Lane">Who waits for it.</param>
internal sealed record FillPush(int To, int Session, long From, long Limit, PushLane Lane = PushLane.Live) : ReplicationEffect
{
    /// <summary>Nobody waits for it.</summary>
    public bool IsCatchUp => Lane != PushLane.Live;
}

/// <summary>Reads the partition's state; answer with <see cref="LeaderReplica.OnStateRead"/>, or
/// <see cref="LeaderReplica.OnStateFailed"/>.</summary>
internal sealed record ReadState(long Operation) : ReplicationEffect;

/// <summary>Writes the state if <paramref name="ETag"/> is still stored; answer with <see cref="LeaderReplica.OnStateWritten"/>, or
/// <see cref="LeaderReplica.OnStateFailed"/>.</summary>
internal sealed record WriteState(long Operation, PartitionState State, string? ETag) : ReplicationEffect;

/// <summary>Answers <see cref="LeaderReplica.Reassign"/>.</summary>
/// <param name="Waiter">As given.</param>
/// <param name="Error"><see cref="ErrorCode.None"/>: the write that begins it is stored. <see cref="ErrorCode.RequestTimedOut"/>:
/// unknown.</param>
internal sealed record CompleteReassignment(long Waiter, ErrorCode Error) : ReplicationEffect;

/// <summary>
/// To be logged, loudly: what an unclean election kept. Lost is what was acknowledged at or above <paramref name="LogEnd"/>, and below it
/// what was acknowledged at an offset in another epoch than <paramref name="History"/> says of it: that log had parted from this one.
/// </summary>
/// <param name="Epoch">The unclean epoch.</param>
/// <param name="History">Where the epochs before begin in the log that was elected.</param>
/// <param name="LogStart">Where that log starts: what lies below is not in it.</param>
/// <param name="LogEnd">Where that log ended.</param>
internal sealed record ReportUncleanElection(int Epoch, IReadOnlyList<LeaderEpochEntry> History, long LogStart, long LogEnd)
    : ReplicationEffect;

/// <summary>To be logged, loudly: a follower of an unclean leader gives up what it knew to be acknowledged, from <paramref name="From"/> up
/// to
/// <paramref name="To"/>.</summary>
internal sealed record ReportLoss(int Epoch, long From, long To) : ReplicationEffect;

/// <summary>Answers an append.</summary>
/// <param name="Waiter">As given with the append.</param>
/// <param name="Error"><see cref="ErrorCode.RequestTimedOut"/>: the outcome is unknown.</param>
/// <param name="BaseOffset">Where the batch is; -1 with an error.</param>
internal sealed record CompleteAppend(long Waiter, ErrorCode Error, long BaseOffset) : ReplicationEffect;

/// <summary>Which way batches go to a follower, by who waits for them.</summary>
internal enum PushLane
{
    /// <summary>Appends may wait for them: the follower is in sync, or too few are.</summary>
    Live = 0,
    /// <summary>Nobody waits for them, and they give way to live traffic: a follower that catches up.</summary>
    CatchUp = 1,
    /// <summary>Nobody waits for them, but the follower would never be in sync if they gave way. What was limited by hand stays
    /// limited.</summary>
    Hurried = 2,
}
