namespace OrleansMq.Queues;

/// <summary>The decisions of a <see cref="Cursor"/> that keep its invariants. Pure. The simulation replaces them one by one by wrong
/// ones, to
/// see that its checkers detect each.</summary>
internal class CursorRules
{
    /// <summary>The rules of the product.</summary>
    public static readonly CursorRules Shipped = new();

    /// <summary>Whether a new leader may hand out and answer. What its log held when its epoch began must be in force, and the
    /// predecessor's
    /// lease must have ended.</summary>
    public virtual bool MayServe(LeaderTerm term, long highWatermark, long now) =>
        highWatermark >= term.EpochStart && now >= term.HandOutFrom;

    /// <summary>Returns <see cref="LeaderTerm.HandOutFrom"/> of a new leader.</summary>
    /// <param name="predecessors">That of its predecessor, which may have ended before: an earlier leader may still hold its lease.</param>
    /// <param name="isPredecessorGone">Whether the predecessor resigned, acknowledged the epoch or is proved dead.</param>
    /// <param name="leaseEnd">When a lease that began at the claim has surely ended.</param>
    public virtual long HandOutFrom(long predecessors, bool isPredecessorGone, long leaseEnd) =>
        isPredecessorGone ? predecessors : Math.Max(predecessors, leaseEnd);

    /// <summary>Whether the lease allows a hand-out.</summary>
    public virtual bool HasLease(long leaseUntil, long now) => now < leaseUntil;

    /// <summary>Whether transitions at an offset are in force.</summary>
    public virtual bool IsInForce(long offset, long highWatermark) => offset < highWatermark;

    /// <summary>Whether a lock holds a record.</summary>
    public virtual bool Holds(in HeldRecord held, long number) => held.State == HeldState.Acquired && held.LockNumber == number;

    /// <summary>Returns the lock of deliveries that are joined.</summary>
    /// <param name="first">The lock of the first one.</param>
    /// <param name="next">A lock that none has had.</param>
    public virtual long JoinedLock(long first, long next) => next;

    /// <summary>Whether a lock of this leader and incarnation is meant.</summary>
    public virtual bool IsCurrent(LockToken token, Guid incarnation, int leaderEpoch) =>
        token.Incarnation == incarnation && token.LeaderEpoch == leaderEpoch;

    /// <summary>Returns the counts of a record that comes back. Its first delivery counts once its consumer took it: without deliveries, a
    /// record was delivered to none, and if it is deferred then by its publisher, which holds back none of its key.</summary>
    /// <param name="held">The record.</param>
    /// <param name="isFailure">Whether it failed.</param>
    /// <param name="isUncounted">Whether its consumer says that a delivery without failure does not count.</param>
    public virtual DeliveryCounts Returned(in HeldRecord held, bool isFailure, bool isUncounted) => isFailure
        ? held.Counts with { Failures = held.Counts.Failures + 1 }
        : held.IsWaiting ? held.Counts with { Deliveries = held.Counts.Deliveries - 1 }
        : isUncounted ? held.Counts with { Deliveries = Math.Max(1, held.Counts.Deliveries - 1) }
        : held.Counts;

    /// <summary>Whether a record fails whose lock ends, or whose consumer is gone.</summary>
    public virtual bool IsFailed(in HeldRecord held, bool isFailure) => isFailure && !held.IsWaiting;

    /// <summary>Whether a record that came back must not be handed out again.</summary>
    public virtual bool IsAtLimit(DeliveryCounts counts, CursorConfiguration configuration) =>
        configuration.MaxDeliveries > 0 && counts.Limited(configuration.LimitedCount) >= configuration.MaxDeliveries;

    /// <summary>Returns how many records a consumer without window is handed together with a record. A record that ends its consumers takes
    /// its neighbours along: they are fewer from half of the limit on, and the last delivery is of the record alone.</summary>
    /// <param name="before">The record's counts before this delivery.</param>
    /// <param name="configuration">The limit.</param>
    public virtual int MostTogether(DeliveryCounts before, CursorConfiguration configuration)
    {
        var limit = configuration.MaxDeliveries;
        if (limit == 0 || configuration.LimitedCount != LimitedCount.Deliveries || before.Deliveries == 0)
            return int.MaxValue;
        if (before.Deliveries + 1 >= limit)
            return 1;
        var halvings = before.Deliveries + 1 - Math.Max(2, (limit + 1) / 2);
        return halvings <= 0 ? int.MaxValue : Math.Max(configuration.RecordsPerTurn >> Math.Min(halvings, 30), 1);
    }

    /// <summary>Whether a record below the reservation in force may be handed out: a later leader then knows that it may have
    /// been.</summary>
    public virtual bool IsReserved(long offset, long deliveredUpTo) => offset < deliveredUpTo;

    /// <summary>Whether returned records come before those that were never handed out.</summary>
    public virtual bool ReturnedFirst => true;

    /// <summary>Whether a key is free when its record is settled, but that is not in force yet.</summary>
    public virtual bool IsKeyFreeBeforeForce => false;

    /// <summary>Whether a dead letter is done after an answer of its target.</summary>
    public virtual bool IsDeadLetterDone(bool isConfirmed) => isConfirmed;

    /// <summary>Returns the sequence of the next dead letter.</summary>
    /// <param name="next">The next one of the state in force.</param>
    /// <param name="pending">The number of those that are not in force.</param>
    public virtual long NextSequence(long next, int pending) => next + pending;

    /// <summary>Returns the intents that a leader publishes.</summary>
    public virtual IEnumerable<DeadLetterIntent> ToPublish(CursorState state, long finishedBelow) =>
        state.Intents.Values.SkipWhile(intent => intent.Sequence < finishedBelow);

    /// <summary>Whether a record's time to live has passed.</summary>
    public virtual bool IsExpired(long expiresAt, long now) => expiresAt <= now;

    /// <summary>Whether the filter does not match a record.</summary>
    public virtual bool IsFiltered(in RecordHead head) => head.IsFiltered;

    /// <summary>Whether a record's time has not come.</summary>
    public virtual bool IsScheduled(long deliverAt, long now) => deliverAt > now;

    /// <summary>Returns a record's priority.</summary>
    public virtual int LevelOf(in RecordHead head) => head.Priority;

    /// <summary>Returns a consumer's priority.</summary>
    public virtual int PriorityOf(Attach attach) => attach.Priority;

    /// <summary>Returns the credit that returns with a record.</summary>
    public virtual int CreditReturned(bool isWindow) => isWindow ? 1 : 0;

    /// <summary>Whether a consumer that gives its turn up receives nothing more.</summary>
    public virtual bool EndsTurn => true;

    /// <summary>Whether one consumer at a time receives.</summary>
    public virtual bool IsSingleActive(CursorConfiguration configuration) => configuration.IsSingleActiveConsumer;

    /// <summary>Returns the end of the records that may be handed out.</summary>
    public virtual long ReadableEnd(long highWatermark, long readableEnd) => readableEnd;

    /// <summary>Whether the clock of locks stands still.</summary>
    public virtual bool LocksStand(bool isActive) => !isActive;

    /// <summary>Whether a dead letter ends without its target.</summary>
    public virtual bool IsDropped(bool isTargetGone) => isTargetGone;

    /// <summary>Returns the offset below which a purge settles.</summary>
    public virtual long PurgedBelow(long below, long readableEnd) => Math.Min(below, readableEnd);

    /// <summary>Returns the number of records that are too many.</summary>
    public virtual long Excess(long length, CursorConfiguration configuration) =>
        configuration.MaxLength is { } most ? length - most : 0;

    /// <summary>Returns the bytes that are too many.</summary>
    public virtual long ExcessBytes(long bytes, CursorConfiguration configuration) =>
        configuration.MaxBytes is { } most ? bytes - most : 0;

    /// <summary>Whether no further record is accepted, for their number.</summary>
    public virtual bool IsFull(long length, CursorConfiguration configuration) => length >= configuration.MaxLength;

    /// <summary>Whether no further record is accepted, for their bytes.</summary>
    /// <param name="bytes">The bytes of those that are counted.</param>
    /// <param name="isCounted">Whether that is all of them. What is not counted yet makes no room.</param>
    /// <param name="wasFull">Whether none was accepted before.</param>
    /// <param name="configuration">The limit.</param>
    public virtual bool IsFullOfBytes(long bytes, bool isCounted, bool wasFull, CursorConfiguration configuration) =>
        configuration.MaxBytes is { } most && (bytes >= most || (wasFull && !isCounted));

    /// <summary>Returns the bytes that a record takes again when it comes back.</summary>
    public virtual long BytesReturned(in HeldRecord held) => held.Bytes;

    /// <summary>Whether a record that is too much stays as long as a consumer waits for it.</summary>
    public virtual bool StaysForConsumer(bool isAwaited) => isAwaited;

    /// <summary>Returns the offset up to which the log's start may move.</summary>
    /// <param name="needed">The lowest record that the cursor needs.</param>
    /// <param name="statementOffset">The newest statement in force.</param>
    /// <param name="next">The first record that was never handed out by this leader.</param>
    public virtual long StartMayMoveTo(long needed, long statementOffset, long next) => Math.Min(needed, statementOffset);

    /// <summary>Returns the time of a wake-up: the earliest of these.</summary>
    /// <param name="lockEnds">The end of the first lock.</param>
    /// <param name="deferredUntil">The time of the first deferred record.</param>
    /// <param name="other">The first retry, or the time from which the leader may serve.</param>
    public virtual long WakeAt(long lockEnds, long deferredUntil, long other) => Math.Min(Math.Min(lockEnds, deferredUntil), other);

    /// <summary>Returns the lowest record that is needed while a reset is on its way.</summary>
    public virtual long NeededByReset(long needed, long floor) => Math.Min(needed, floor);

    /// <summary>Whether a deferred record's time has not come.</summary>
    public virtual bool IsDeferred(long availableAt, long now) => availableAt > now;

    /// <summary>Returns the time up to which a new leader defers a record that came back before.</summary>
    /// <param name="returned">The record, with a delay.</param>
    /// <param name="now">When the leader begins to serve, by its clock.</param>
    public virtual long DueAtLatest(in ReturnedRecord returned, long now) => Math.Min(returned.AvailableAt, now + returned.DelayMs);

    /// <summary>Whether a new incarnation may follow the current one, which may have followed the one that it was meant to
    /// follow.</summary>
    public virtual bool MayBegin(Guid current, Guid replaces) => current == replaces;

    /// <summary>Returns the state that a statement repeats.</summary>
    public virtual CursorState Stated(CursorState state) => state;

    /// <summary>Whether a record above all exceptions may become one, too: one that is handed out, or a dead letter.</summary>
    /// <param name="exceptions">Their number. Some may be over by nature, but no transition says so yet.</param>
    /// <param name="areOver">Whether every record up to the highest exception is over. The transition that settles one more record then
    /// joins them all.</param>
    /// <param name="configuration">The bound.</param>
    public virtual bool HasRoom(long exceptions, bool areOver, CursorConfiguration configuration) =>
        areOver || exceptions < configuration.MaxExceptions;
}

/// <summary>The leadership that a <see cref="Cursor"/> serves.</summary>
/// <param name="Epoch">The leader epoch.</param>
/// <param name="EpochStart">Where it began: the state that the cursor starts from is in force when the high watermark is there.</param>
/// <param name="HandOutFrom">When the leases of all predecessors have surely ended, in milliseconds since 1970: see
/// <see cref="CursorRules.HandOutFrom"/>. 0: before any.</param>
internal readonly record struct LeaderTerm(int Epoch, long EpochStart, long HandOutFrom)
{
    /// <summary>A random number of its own, which its dead letters have; 0: none.</summary>
    public long Origin { get; init; }
}

/// <summary>What holds a record.</summary>
internal enum HeldState
{
    /// <summary>Never used.</summary>
    Unknown = 0,
    /// <summary>A consumer, by a lock.</summary>
    Acquired = 1,
    /// <summary>A transition that is not in force yet: it is settled, returned or dead-lettered.</summary>
    Settling = 2,
}

/// <summary>A record that is not available, because a consumer or a transition holds it.</summary>
/// <param name="State">What holds it.</param>
/// <param name="Attachment">The consumer.</param>
/// <param name="LockNumber">The hand-out.</param>
/// <param name="Deadline">When the lock ends, by <see cref="LockClock"/>; <see cref="long.MaxValue"/>: with the attachment.</param>
/// <param name="Counts">Its counts, with this delivery.</param>
/// <param name="IsWaiting">Whether its consumer has not taken it yet.</param>
internal readonly record struct HeldRecord(HeldState State, long Attachment, long LockNumber, long Deadline, DeliveryCounts Counts,
    bool IsWaiting)
{
    /// <summary>When its consumer took it, or while it waits, when it was handed out; milliseconds since 1970.</summary>
    public long Since { get; init; }

    /// <summary>The bytes of its value, which it takes again if it comes back. Known where the records around it are counted, and the
    /// cursor counts bytes; else 0.</summary>
    public int Bytes { get; init; }
}
