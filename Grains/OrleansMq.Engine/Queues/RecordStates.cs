namespace OrleansMq.Queues;

/// <summary>Why a record is settled, or dead-lettered.</summary>
internal enum SettlementCause
{
    /// <summary>Unknown.</summary>
    Unknown = 0,
    /// <summary>A consumer accepted it.</summary>
    Accepted = 1,
    /// <summary>It is in its dead-letter target.</summary>
    DeadLettered = 2,
    /// <summary>A consumer rejected it.</summary>
    Rejected = 3,
    /// <summary>It was handed out as often as is allowed.</summary>
    DeliveryLimit = 4,
    /// <summary>Its time to live has passed.</summary>
    Expired = 5,
    /// <summary>A purge, or a skip to a later offset.</summary>
    Purged = 6,
    /// <summary>It was the first of more records than the cursor keeps.</summary>
    LengthLimit = 7,
}

/// <summary>Two counters, since neither follows from the other.</summary>
/// <param name="Deliveries">How often the record was handed out.</param>
/// <param name="Failures">How often it came back as a failure.</param>
internal readonly record struct DeliveryCounts(int Deliveries, int Failures)
{
    /// <summary>Returns the limited counter.</summary>
    public int Limited(LimitedCount count) => count == LimitedCount.Failures ? Failures : Deliveries;
}

/// <summary>A record that came back, and is not settled yet.</summary>
/// <param name="Offset">The record.</param>
/// <param name="Counts">Its counts.</param>
/// <param name="AvailableAt">The time before which it is deferred, in milliseconds since 1970; 0: none.</param>
internal readonly record struct ReturnedRecord(long Offset, DeliveryCounts Counts, long AvailableAt)
{
    /// <summary>How long it was to be deferred when it came back, in milliseconds; 0: its time was named by its header, or there is none. A
    /// later leader, whose clock may be behind that of the one that stored the time, defers it no longer than this.</summary>
    public long DelayMs { get; init; }
}

/// <summary>
/// The irrevocable decision to dead-letter a record. It is in force before the dead letter is published. From then on the record is never
/// handed out, and every leader publishes it until the target has confirmed it.
/// </summary>
/// <param name="Sequence">Its number at this cursor, rising by one; a reset does not restart it. The target keeps the last one.</param>
/// <param name="Incarnation">The incarnation that decided it; the target's duplicates are told by it, too.</param>
/// <param name="Offset">The record.</param>
/// <param name="Target">Where it goes.</param>
/// <param name="Cause">Why.</param>
/// <param name="Counts">The record's counts.</param>
/// <param name="DecidedAt">When, in milliseconds since 1970.</param>
internal readonly record struct DeadLetterIntent(long Sequence, Guid Incarnation, long Offset, DeadLetterTarget Target,
    SettlementCause Cause, DeliveryCounts Counts, long DecidedAt)
{
    /// <summary>The most bytes of a <see cref="Reason"/> in UTF-8.</summary>
    public const int MostReasonBytes = 1_024;

    /// <summary>The <see cref="LeaderTerm.Origin"/> of the leadership that decided it: where the log's tail was lost, a later one gives out
    /// the same sequences to other records.</summary>
    public long Origin { get; init; }

    /// <summary>What the consumer said that refused the record, or failed last; null: nothing.</summary>
    public string? Reason { get; init; }
}
