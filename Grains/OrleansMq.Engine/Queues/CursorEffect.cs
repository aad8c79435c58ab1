namespace OrleansMq.Queues;

/// <summary>Output of a <see cref="Cursor"/>, carried out in order.</summary>
internal abstract record CursorEffect;

/// <summary>
/// Appends transitions to the cursor's own log, those of many cursors in one control batch. Answer with <see cref="TransitionsAppended"/>,
/// <see cref="TransitionsRefused"/> or <see cref="TransitionsUnanswered"/>; what is unclear is unanswered. At most one is in flight.
/// </summary>
internal sealed record AppendTransitions(long Number, IReadOnlyList<CursorTransition> Transitions) : CursorEffect;

/// <summary>Hands records to a consumer. Name those that settle by nature with <see cref="Advance"/>, before their lock ends: then their
/// credit returns, and they do not count as failures.</summary>
/// <param name="Attachment">The consumer.</param>
/// <param name="Lock">The lock that holds all of them.</param>
/// <param name="Records">The records, in order of delivery.</param>
internal sealed record Deliver(long Attachment, LockToken Lock, List<DeliveredRecord> Records) : CursorEffect;

/// <summary>Answers a request.</summary>
/// <param name="RequestId">The request.</param>
/// <param name="Outcome">The outcome.</param>
/// <param name="Offset">The floor that <see cref="Begin"/> fixed.</param>
internal sealed record Answer(long RequestId, CursorOutcome Outcome, long Offset = -1) : CursorEffect;

/// <summary>
/// Publishes dead letters, in order, with the record's content read from the source. Answer with <see cref="DeadLettersPublished"/> when
/// they are below the target's high watermark, with <see cref="DeadLettersFailed"/> or <see cref="DeadLetterTargetGone"/>. At most one is
/// in flight. The target drops a sequence that is not above its last one of that incarnation.
/// </summary>
internal sealed record PublishDeadLetters(long Number, DeadLetterTarget Target, IReadOnlyList<DeadLetterIntent> Intents) : CursorEffect;

/// <summary>The cursor needs nothing below this offset, and the log still states the cursor if it starts there.</summary>
internal sealed record StartMayMove(long Offset) : CursorEffect;

/// <summary>Reads the keys of records from an offset on; answer with <see cref="KeysRead"/>. At most one is in flight.</summary>
/// <param name="Number">Comes back with the answer.</param>
/// <param name="From">The first offset; it is below the readable end.</param>
/// <param name="Most">The most records to read.</param>
internal sealed record ReadKeys(long Number, long From, int Most) : CursorEffect;

/// <summary>Reads the heads of records from an offset on; answer with <see cref="HeadsRead"/>. Only a cursor with times to live, schedules,
/// priorities, a filter or a limit of bytes asks. At most two are in flight.</summary>
/// <param name="Number">Comes back with the answer.</param>
/// <param name="From">The first offset; it is below the readable end.</param>
/// <param name="Most">The most records to read.</param>
internal sealed record ReadHeads(long Number, long From, int Most) : CursorEffect;

/// <summary>Finds the control, aborted and missing offsets of a range, or of its beginning, so that records can be counted; answer with
/// <see cref="NaturalsFound"/>. Only a cursor that is near its length limit, or has a limit of bytes, asks. At most one is in
/// flight.</summary>
/// <param name="Number">Comes back with the answer.</param>
/// <param name="Range">The range, below the readable end.</param>
/// <param name="HasSizes">Whether the sizes of the records are asked for, too.</param>
internal sealed record FindNaturals(long Number, OffsetRange Range, bool HasSizes = false) : CursorEffect;

/// <summary>Whether the log takes further records, which a length limit decides; as long as none is told, it does. What was on its way is
/// appended all the same.</summary>
internal sealed record AcceptPublishes(bool IsAccepted) : CursorEffect;

/// <summary>Asks for a <see cref="Tick"/> at a time, instead of the one asked for before.</summary>
/// <param name="Time">Milliseconds since 1970; <see cref="long.MaxValue"/>: none.</param>
internal sealed record WakeAt(long Time) : CursorEffect;

/// <summary>The right to settle what one hand-out delivered. It ends with the incarnation and the leader epoch that gave it.</summary>
/// <param name="Incarnation">The cursor's incarnation.</param>
/// <param name="LeaderEpoch">The leader's epoch.</param>
/// <param name="Number">The delivery in that epoch, from 1. Of two deliveries of a record, or of records of one key, the later one has the
/// higher number.</param>
internal readonly record struct LockToken(Guid Incarnation, int LeaderEpoch, long Number);

/// <summary>A delivered record.</summary>
/// <param name="Offset">Its offset.</param>
/// <param name="Counts">Its counts; this delivery is counted.</param>
/// <param name="IsRedelivered">Whether it may have been handed out before.</param>
internal readonly record struct DeliveredRecord(long Offset, DeliveryCounts Counts, bool IsRedelivered);

/// <summary>How a request ended.</summary>
internal enum CursorOutcome
{
    /// <summary>The outcome is unknown: the leader cannot tell whether it is, or will be, in force.</summary>
    Unknown = 0,
    /// <summary>Done, and in force.</summary>
    Done = 1,
    /// <summary>The lock does not hold all of these records: it ended, or they are settled already. Nothing was done.</summary>
    InvalidLock = 2,
    /// <summary>The leader does not serve the cursor yet, or it is being reset: retry.</summary>
    NotReady = 3,
    /// <summary>This broker does not lead the partition any more.</summary>
    NotLeader = 4,
    /// <summary>There is no such cursor, or it has another incarnation.</summary>
    NoCursor = 5,
}
