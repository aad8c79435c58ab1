namespace OrleansMq.Partitions.Cursors;

/// <summary>The headers that a dead letter has in addition to those of its record: those of the client library's dead letters, and two
/// that only a cursor writes. Values are text.</summary>
internal static class DeadLetterHeaderNames
{
    /// <summary>The record's topic.</summary>
    public const string Topic = "omq.dead-letter.topic";
    /// <summary>The record's partition.</summary>
    public const string Partition = "omq.dead-letter.partition";
    /// <summary>The record's offset.</summary>
    public const string Offset = "omq.dead-letter.offset";
    /// <summary>The record's timestamp, in milliseconds since 1970.</summary>
    public const string Timestamp = "omq.dead-letter.timestamp";
    /// <summary>The queue or share group.</summary>
    public const string Group = "omq.dead-letter.group";
    /// <summary>How often the record was delivered.</summary>
    public const string Attempts = "omq.dead-letter.attempts";
    /// <summary>Why, in words: those of the consumer if it gave any.</summary>
    public const string Reason = "omq.dead-letter.reason";
    /// <summary>Why: <c>rejected</c>, <c>failed</c>, <c>expired</c> or <c>overflow</c>.</summary>
    public const string Cause = "omq.dead-letter.cause";
    /// <summary>When that was decided, in milliseconds since 1970.</summary>
    public const string DecidedAt = "omq.dead-letter.decided-at";
}
