using OrleansMq.Log;

namespace OrleansMq.Replication;

/// <summary>An action that a role requests. The host executes them in order, and returns answers as inputs.</summary>
internal abstract record ReplicationEffect;

/// <summary>Sends a message, which may be lost. The memory of a push's batches belongs to the caller of
/// <see cref="LeaderReplica.OnPushFilled"/>.</summary>
/// <param name="To">The broker.</param>
/// <param name="Message">The message.</param>
/// <param name="Lane">The lane of a push with batches, as of its <see cref="FillPush"/>. Messages of different lanes may overtake each
/// other.</param>
internal sealed record SendMessage(int To, ReplicationMessage Message, PushLane Lane = PushLane.Live) : ReplicationEffect;

/// <summary>
/// Reads whole batches for a push, outside the lock. Answer exactly once with <see cref="LeaderReplica.OnPushFilled"/>, whatever happened
/// to the follower meanwhile, or with <see cref="LeaderReplica.OnPushNotFilled"/> where a file cannot be opened for the moment. At most one
/// is outstanding for each follower. A log that cannot be read goes offline.
/// </summary>
/// <param name="To">The follower.</param>
/// <param name="Session">Returned with the answer.</param>
/// <param name="From">The first batch is the first that ends above this; returned with the answer.</param>
/// <param name="Limit">The current log end: no batch at or above it.</param>
/// <param name="Lane">The lane of the push.</param>
internal sealed record FillPush(int To, int Session, long From, long Limit, PushLane Lane = PushLane.Live) : ReplicationEffect
{
    /// <summary>Whether no append waits for it.</summary>
    public bool IsCatchUp => Lane != PushLane.Live;
}

/// <summary>Reads the partition's state; answer with <see cref="LeaderReplica.OnStateRead"/> or
/// <see cref="LeaderReplica.OnStateFailed"/>.</summary>
internal sealed record ReadState(long Operation) : ReplicationEffect;

/// <summary>Writes the state if <paramref name="ETag"/> is still stored; answer with <see cref="LeaderReplica.OnStateWritten"/> or
/// <see cref="LeaderReplica.OnStateFailed"/>.</summary>
internal sealed record WriteState(long Operation, PartitionState State, string? ETag) : ReplicationEffect;

/// <summary>Answers <see cref="LeaderReplica.Reassign"/>.</summary>
/// <param name="Waiter">The waiter of the request.</param>
/// <param name="Error"><see cref="ErrorCode.None"/>: the write that begins it is stored. <see cref="ErrorCode.RequestTimedOut"/>:
/// unknown.</param>
internal sealed record CompleteReassignment(long Waiter, ErrorCode Error) : ReplicationEffect;

/// <summary>Answers <see cref="LeaderReplica.OnDeleted"/>.</summary>
/// <param name="Waiter">The waiter of the deletion.</param>
/// <param name="Error"><see cref="ErrorCode.None"/>: no replica that may lead has the records.
/// <see cref="ErrorCode.RequestTimedOut"/>: a new leader may still have them.</param>
internal sealed record CompleteDeletion(long Waiter, ErrorCode Error) : ReplicationEffect;

/// <summary>
/// Logs, as an error, what an unclean election kept. Lost are acknowledged records at or above <paramref name="LogEnd"/>. Lost are also
/// those below it whose epoch differs from <paramref name="History"/>, since their log had diverged from this one.
/// </summary>
/// <param name="Epoch">The unclean epoch.</param>
/// <param name="History">The starts of the earlier epochs in the elected log.</param>
/// <param name="LogStart">The start of that log, which lacks everything below.</param>
/// <param name="LogEnd">The end of that log.</param>
internal sealed record ReportUncleanElection(int Epoch, IReadOnlyList<LeaderEpochEntry> History, long LogStart, long LogEnd)
    : ReplicationEffect;

/// <summary>Logs, as an error, that a follower of an unclean leader gives up records it knew to be acknowledged, from
/// <paramref name="From"/> up to <paramref name="To"/>.</summary>
internal sealed record ReportLoss(int Epoch, long From, long To) : ReplicationEffect;

/// <summary>Answers an append.</summary>
/// <param name="Waiter">The waiter of the append.</param>
/// <param name="Error"><see cref="ErrorCode.RequestTimedOut"/>: the outcome is unknown.</param>
/// <param name="BaseOffset">The batch's base offset; -1 with an error.</param>
internal sealed record CompleteAppend(long Waiter, ErrorCode Error, long BaseOffset) : ReplicationEffect
{
    /// <summary><see cref="Acks.All"/> or <see cref="Acks.Replicated"/>. Answers of one level have the order of its appends.</summary>
    public Acks Level { get; init; } = Acks.All;
}

/// <summary>The lane of batches to a follower, by whether appends wait for them.</summary>
internal enum PushLane
{
    /// <summary>Appends may wait for them: the follower is in sync, or too few are.</summary>
    Live = 0,
    /// <summary>No append waits for them, and they give way to live traffic: a follower that is catching up.</summary>
    CatchUp = 1,
    /// <summary>No append waits for them, but the follower would never be in sync if they gave way. A configured limit still
    /// applies.</summary>
    Hurried = 2,
}
