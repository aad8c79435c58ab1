namespace OrleansMq.Queues;

/// <summary>Input of a <see cref="Cursor"/>.</summary>
internal abstract record CursorCommand;

// --- From the partition ---

/// <summary>The log moved on.</summary>
/// <param name="HighWatermark">Transitions below it are in force.</param>
/// <param name="ReadableEnd">Records below it may be handed out: the high watermark, or the last stable offset. It goes back where the
/// cursor no longer reads the records of open transactions.</param>
/// <param name="Naturals">Offsets that settle by nature: control, aborted and missing ones. Any below the high watermark may be named, also
/// acquired ones, and again. Those that are far ahead of delivery are forgotten; name them when their read finds them.</param>
internal sealed record Advance(long HighWatermark, long ReadableEnd, IReadOnlyList<OffsetRange> Naturals) : CursorCommand;

/// <summary>The leader's lease lasts until then. Without a lease nothing is handed out.</summary>
/// <param name="Until">Milliseconds since 1970; <see cref="long.MaxValue"/> for a sole broker.</param>
internal sealed record ExtendLease(long Until) : CursorCommand;

/// <summary>The transitions of an <see cref="AppendTransitions"/> are in the log.</summary>
/// <param name="Number">As given with the effect.</param>
/// <param name="Offset">Their batch's offset.</param>
internal sealed record TransitionsAppended(long Number, long Offset) : CursorCommand;

/// <summary>The transitions are not in the log, and never will be by this append. They are appended again.</summary>
internal sealed record TransitionsRefused(long Number) : CursorCommand;

/// <summary>The append of the transitions was answered with a failure, but they may be, or are, in the log. They stay in suspense until the
/// high watermark passes them.</summary>
internal sealed record TransitionsUnanswered(long Number) : CursorCommand;

/// <summary>Log start or cleaning wants to pass an offset: if the newest statement stands below, repeat it.</summary>
/// <param name="Offset">The wanted start.</param>
internal sealed record Restate(long Offset) : CursorCommand;

/// <summary>Time passed: the answer to <see cref="WakeAt"/>.</summary>
internal sealed record Tick : CursorCommand;

/// <summary>The leadership ends. Every request is answered; afterwards the cursor does nothing more.</summary>
internal sealed record Resign : CursorCommand;

/// <summary>The answer to <see cref="ReadKeys"/>.</summary>
/// <param name="Number">As given with the effect.</param>
/// <param name="End">The keys of the records below it are known; at least one further than where the read began, unless those from there
/// on cannot be read.</param>
/// <param name="Keys">The records from where the read began, in order, each with a hash of its key; null for a record without key. What is
/// missing between them settles by nature.</param>
internal sealed record KeysRead(long Number, long End, IReadOnlyList<(long Offset, long? Key)> Keys) : CursorCommand
{
    /// <summary>The offsets from <see cref="End"/> on of a batch that cannot be read here, or not now; null: there are more, or there is no
    /// such batch.</summary>
    public OffsetRange? Unread { get; init; }
}

/// <summary>The answer to <see cref="FindNaturals"/>.</summary>
/// <param name="Number">As given with the effect.</param>
/// <param name="End">The offsets of the range below it are searched; at least one further than where the search began.</param>
/// <param name="Naturals">All of them that settle by nature.</param>
internal sealed record NaturalsFound(long Number, long End, IReadOnlyList<OffsetRange> Naturals) : CursorCommand
{
    /// <summary>The other ones, where <see cref="FindNaturals.HasSizes"/> asked for them.</summary>
    public IReadOnlyList<RecordSize> Sizes { get; init; } = [];
}

/// <summary>The size of a record.</summary>
/// <param name="Offset">The record.</param>
/// <param name="Bytes">The bytes of its value; 0 where its batch cannot be read here.</param>
internal readonly record struct RecordSize(long Offset, int Bytes);

/// <summary>The answer to <see cref="ReadHeads"/>.</summary>
/// <param name="Number">As given with the effect.</param>
/// <param name="End">The heads of the records below it are known; at least one further than where the read began.</param>
/// <param name="Heads">The records from where the read began, in order. What is missing between them settles by nature.</param>
internal sealed record HeadsRead(long Number, long End, IReadOnlyList<RecordHead> Heads) : CursorCommand;

/// <summary>What a record's headers say to its cursor.</summary>
/// <param name="Offset">The record.</param>
/// <param name="ExpiresAt">When its time to live passes, in milliseconds since 1970, by the time that the broker logged;
/// <see cref="long.MaxValue"/>: never.</param>
/// <param name="DeliverAt">When it is available, in milliseconds since 1970; 0: at once.</param>
/// <param name="Priority">Its level; higher ones come first. Those beyond <see cref="CursorConfiguration.PriorityLevels"/> count as the
/// highest.</param>
/// <param name="IsFiltered">Whether <see cref="CursorConfiguration.Filter"/> does not match it.</param>
/// <param name="Bytes">The bytes of its value; 0 where its batch cannot be read here.</param>
internal readonly record struct RecordHead(long Offset, long ExpiresAt = long.MaxValue, long DeliverAt = 0, int Priority = 0,
    bool IsFiltered = false, int Bytes = 0);

/// <summary>A <see cref="ReadKeys"/>, <see cref="ReadHeads"/> or <see cref="FindNaturals"/> has no result. The cursor reads again
/// after a moment.</summary>
/// <param name="Number">As given with the effect.</param>
internal sealed record ReadFailed(long Number) : CursorCommand;

/// <summary>A consumer without window takes further records with a delivery: those that follow it in the log, as far as they are available,
/// were never handed out, and it is the consumer's turn.</summary>
/// <param name="Attachment">The consumer.</param>
/// <param name="Lock">The lock of its delivery, which holds the record before <paramref name="From"/>.</param>
/// <param name="From">The first further record.</param>
/// <param name="Through">The last one that it takes.</param>
internal sealed record Widen(long Attachment, LockToken Lock, long From, long Through) : CursorCommand;

/// <summary>A buffered consumer takes deliveries that wait for it as one, under a lock of its own. It gets one <see cref="Deliver"/> of
/// what their locks still hold, in that order; it may be of none.</summary>
/// <param name="Attachment">The consumer.</param>
/// <param name="Deliveries">The deliveries, of which it has taken no record.</param>
internal sealed record Join(long Attachment, IReadOnlyList<Deliver> Deliveries) : CursorCommand;

// --- From the dead-letter target ---

/// <summary>The target has all dead letters of a <see cref="PublishDeadLetters"/>.</summary>
internal sealed record DeadLettersPublished(long Number) : CursorCommand
{
    /// <summary>The last sequence that this is about: later ones are published again.</summary>
    public long Through { get; init; } = long.MaxValue;

    /// <summary>The sequences of those that the target never has, as their records were deleted: they are dropped, and counted.</summary>
    public IReadOnlyCollection<long> Deleted { get; init; } = [];
}

/// <summary>It has perhaps not all of them; they are published again.</summary>
internal sealed record DeadLettersFailed(long Number) : CursorCommand;

/// <summary>The target does not exist any more: its dead letters are dropped, and counted.</summary>
internal sealed record DeadLetterTargetGone(long Number) : CursorCommand;

// --- From consumers ---

/// <summary>A consumer is there. It receives nothing before it has credit.</summary>
/// <param name="Attachment">A number never used before in this epoch.</param>
/// <param name="Priority">Higher ones receive first.</param>
/// <param name="IsWindow">Whether a record that the consumer settles or gives back returns its credit.</param>
/// <param name="LockDurationMs">How long it holds a record; 0: as long as it is attached.</param>
/// <param name="IsBuffered">Whether a delivery waits until the consumer takes it, which <see cref="Renew"/> tells. A record that comes back
/// before is no delivery, and did not fail.</param>
internal sealed record Attach(long Attachment, int Priority, bool IsWindow, long LockDurationMs, bool IsBuffered = false) : CursorCommand
{
    /// <summary>The most records of one key that it holds at once, where the cursor is ordered by key: they come under one lock, and the
    /// next ones when all of them are settled.</summary>
    public int KeyRun { get; init; } = 1;

    /// <summary>The credit that runs leave for records of other keys.</summary>
    public int KeyRunReserve { get; init; }
}

/// <summary>A consumer holds what it takes or renews from now on for another time.</summary>
/// <param name="Attachment">The consumer.</param>
/// <param name="LockDurationMs">How long; 0: as long as it is attached.</param>
internal sealed record SetLockDuration(long Attachment, long LockDurationMs) : CursorCommand;

/// <summary>A consumer takes so many more records.</summary>
internal sealed record GrantCredit(long Attachment, int Credit) : CursorCommand;

/// <summary>A consumer receives nothing more, and is no longer the single active one: the next one's turn begins. It keeps what it holds
/// until that is settled or comes back, or it detaches.</summary>
/// <param name="Attachment">The consumer.</param>
internal sealed record Yield(long Attachment) : CursorCommand;

/// <summary>A command that is answered, by exactly one <see cref="Answer"/>, unless its id is <see cref="NoAnswer"/>.</summary>
internal abstract record CursorRequest(long RequestId) : CursorCommand
{
    public const long NoAnswer = 0;
}

/// <summary>A consumer is gone; what it holds is returned. Answered when that is in force, and what the consumer settled or gave back
/// before.</summary>
/// <param name="Attachment">The consumer.</param>
/// <param name="IsFailure">Whether that counts as a failure of each record.</param>
/// <param name="RequestId">The request.</param>
internal sealed record Detach(long Attachment, bool IsFailure, long RequestId = CursorRequest.NoAnswer) : CursorRequest(RequestId);

/// <summary>A request about records that a lock holds. It concerns all of them, or none.</summary>
/// <param name="RequestId">The request.</param>
/// <param name="Lock">The lock, as delivered.</param>
/// <param name="Records">The records; offsets among them that settled by nature do not matter.</param>
internal abstract record LockRequest(long RequestId, LockToken Lock, OffsetRange Records) : CursorRequest(RequestId)
{
    /// <summary>The consumer that asks: only it holds records under its locks. Null: the owner of the cursor asks.</summary>
    public long? Attachment { get; init; }

    /// <summary>Why the consumer refuses the records, or failed, for their dead letters; null: it does not say.</summary>
    public string? Reason { get; init; }
}

/// <summary>The consumer is done with the records. Answered when that is in force.</summary>
internal sealed record Settle(long RequestId, LockToken Lock, OffsetRange Records) : LockRequest(RequestId, Lock, Records);

/// <summary>The consumer gives the records back. Answered when that is in force; they are available then, or deferred.</summary>
/// <param name="RequestId">The request.</param>
/// <param name="Lock">The lock.</param>
/// <param name="Records">The records.</param>
/// <param name="IsFailure">Whether it counts as a failure.</param>
/// <param name="DelayMs">How long they are deferred; null: as the backoff schedule says after a failure, else not.</param>
internal sealed record Release(long RequestId, LockToken Lock, OffsetRange Records, bool IsFailure, long? DelayMs = null)
    : LockRequest(RequestId, Lock, Records)
{
    /// <summary>Whether the delivery does not count, unless it is the record's first. A failure counts.</summary>
    public bool IsUncounted { get; init; }
}

/// <summary>The consumer refuses the records for ever: they are dead-lettered, or dropped without a target. Answered when that is in
/// force.</summary>
internal sealed record Reject(long RequestId, LockToken Lock, OffsetRange Records) : LockRequest(RequestId, Lock, Records);

/// <summary>The consumer has the records, and the lock begins anew. Answered at once.</summary>
internal sealed record Renew(long RequestId, LockToken Lock, OffsetRange Records) : LockRequest(RequestId, Lock, Records);

/// <summary>What a consumer says of records of several locks. It concerns all of them, or none.</summary>
/// <param name="RequestId">The request. Those of its parts do not matter.</param>
/// <param name="Parts">What becomes of the records of each lock, by ascending offsets.</param>
internal sealed record Acknowledge(long RequestId, IReadOnlyList<LockRequest> Parts) : CursorRequest(RequestId);

// --- From administration ---

/// <summary>Creates the cursor, or resets it: a new incarnation. Answered with its floor when that is in force; a repetition,
/// too.</summary>
/// <param name="RequestId">The request.</param>
/// <param name="Incarnation">An id never used before, which the group's document holds.</param>
/// <param name="Configuration">The configuration; null: a reset keeps the one that the cursor has by then.</param>
/// <param name="Floor">The first record, or <see cref="CursorState.Latest"/>.</param>
/// <param name="Replaces">The incarnation that a reset ends; empty for a creation. If the cursor has another one, or does not exist and is
/// to be reset, nothing changes and the outcome is <see cref="CursorOutcome.NoCursor"/>: a repetition that comes late does not undo what
/// came after it.</param>
internal sealed record Begin(long RequestId, Guid Incarnation, CursorConfiguration? Configuration, long Floor, Guid Replaces = default)
    : CursorRequest(RequestId);

/// <summary>Deletes the cursor, if it has this incarnation, when its dead letters on their way are confirmed. It hands nothing out
/// meanwhile. If that takes too long, nothing is deleted and the outcome is <see cref="CursorOutcome.NotReady"/>.</summary>
internal sealed record Remove(long RequestId, Guid Incarnation) : CursorRequest(RequestId);

/// <summary>Changes the configuration. Order by key, the single active consumer, the number of priority levels and the filter are fixed at
/// creation.</summary>
internal sealed record Configure(long RequestId, CursorConfiguration Configuration) : CursorRequest(RequestId);

/// <summary>Settles every record below an offset that is neither held nor being dead-lettered.</summary>
/// <param name="RequestId">The request.</param>
/// <param name="Below">The offset; at most the readable end.</param>
internal sealed record Purge(long RequestId, long Below) : CursorRequest(RequestId);
