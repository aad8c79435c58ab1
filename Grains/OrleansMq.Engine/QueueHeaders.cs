namespace OrleansMq;

/// <summary>The headers by which a producer tells queues how to deliver a record. Values are decimal numbers as text; any other value is as
/// none, and a time beyond the year 9999 as its end. Every queue of the partition whose options ask for them reads them.</summary>
public static class QueueHeaders
{
    /// <summary>The time before which the record is not delivered, in milliseconds since 1970; see
    /// <see cref="QueueOptions.HasRecordTimes"/>.</summary>
    public const string DeliverAt = "omq.deliver-at";

    /// <summary>The time at which the record expires, in milliseconds since 1970; see <see cref="QueueOptions.HasRecordTimes"/>.</summary>
    public const string ExpiresAt = "omq.expires-at";

    /// <summary>The record's priority, 0 (as without) to 31; see <see cref="QueueOptions.PriorityLevels"/>.</summary>
    public const string Priority = "omq.priority";
}
