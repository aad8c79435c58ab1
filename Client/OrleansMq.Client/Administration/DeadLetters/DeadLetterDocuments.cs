namespace OrleansMq.Client;

/// <summary>A topic that holds dead letters.</summary>
/// <param name="Topic">Its name.</param>
/// <param name="Held">How many offsets its partitions hold: as many records, unless some were compacted away.</param>
/// <param name="Read">How many records were read, the newest of each partition. All else in this summary is about those.</param>
/// <param name="IsComplete">Whether all that the topic holds was read.</param>
/// <param name="WithoutSource">Records that do not say where they came from.</param>
/// <param name="Others">Records of further sources than are listed: one call tells those apart whose names take 4 MiB.</param>
/// <param name="Sources">Where the rest came from, ordered by topic and group.</param>
public sealed record DeadLetterTopic(string Topic, long Held, long Read, bool IsComplete, long WithoutSource, long Others,
    IReadOnlyList<DeadLetterSource> Sources);

/// <summary>The dead letters of a topic and group.</summary>
/// <param name="Topic">The topic whose records could not be handled.</param>
/// <param name="GroupId">The group whose handler failed; null without one.</param>
/// <param name="Letters">How many there are.</param>
/// <param name="Redriven">How many of them a redrive under the default group has passed; null if its offsets may not be read.</param>
/// <param name="OldestTimestamp">When the oldest was written, in milliseconds since 1970.</param>
/// <param name="NewestTimestamp">When the newest was written, in milliseconds since 1970.</param>
/// <param name="Causes">Why, the most frequent first, at most ten: the handler's reason, or the exception's type.</param>
public sealed record DeadLetterSource(string Topic, string? GroupId, long Letters, long? Redriven, long OldestTimestamp,
    long NewestTimestamp, IReadOnlyList<DeadLetterCause> Causes);

/// <summary>Why records could not be handled.</summary>
/// <param name="Cause">The handler's reason, else the exception's type; empty if the dead letter names neither. At most 200
/// characters.</param>
/// <param name="Letters">How many dead letters say so.</param>
public sealed record DeadLetterCause(string Cause, long Letters);

/// <summary>Dead letters of a topic.</summary>
/// <param name="Letters">The dead letters, oldest first.</param>
/// <param name="Held">How many offsets the topic's partitions hold.</param>
/// <param name="Read">How many records were read to find them, the newest of each partition.</param>
/// <param name="IsComplete">Whether all that the topic holds was read.</param>
/// <param name="Selected">How many of those that were read the query selects: more than are returned if it limits them, or if their texts
/// have more than 2 Mi characters.</param>
public sealed record DeadLetterPage(IReadOnlyList<DeadLetter> Letters, long Held, long Read, bool IsComplete, long Selected);

/// <summary>One dead letter. Its key and value are the record's own, and are read from the dead-letter topic like those of any
/// record.</summary>
/// <param name="Partition">The partition of the dead-letter topic that holds it.</param>
/// <param name="Offset">Its offset there.</param>
/// <param name="Timestamp">When it was written, in milliseconds since 1970.</param>
/// <param name="SourceTopic">The record's topic; null if the dead letter does not say where it came from.</param>
/// <param name="SourcePartition">The record's partition; -1 if unknown.</param>
/// <param name="SourceOffset">The record's offset; -1 if unknown.</param>
/// <param name="SourceTimestamp">The record's timestamp in milliseconds since 1970; null if unknown.</param>
/// <param name="GroupId">The group whose handler failed, at most 255 characters; null without one.</param>
/// <param name="Attempts">How often it was handled; 0 if it could not be deserialized, null if unknown.</param>
/// <param name="Reason">Why the handler gave it up, at most 1,024 characters; null if it failed.</param>
/// <param name="ExceptionType">The type of the exception, at most 1,024 characters; null if there is a reason.</param>
/// <param name="ExceptionMessage">The exception's message, at most 1,024 characters; null if there is a reason.</param>
/// <param name="Redrives">How often the record had been sent back before.</param>
/// <param name="IsRedriven">Whether a redrive under the default group has passed it; null if its offsets may not be read.</param>
public sealed record DeadLetter(int Partition, long Offset, long Timestamp, string? SourceTopic, int SourcePartition, long SourceOffset,
    long? SourceTimestamp, string? GroupId, int? Attempts, string? Reason, string? ExceptionType, string? ExceptionMessage, int Redrives,
    bool? IsRedriven)
{
    /// <summary>The reason, else the exception's type; empty if there is neither.</summary>
    internal string Cause => Reason ?? ExceptionType ?? "";
}
