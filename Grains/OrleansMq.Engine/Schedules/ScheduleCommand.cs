namespace OrleansMq.Schedules;

/// <summary>Input of a <see cref="ScheduleService"/>.</summary>
internal abstract record ScheduleCommand;

/// <summary>Time passed: the answer to <see cref="WakeSchedule"/>.</summary>
internal sealed record ScheduleTick : ScheduleCommand;

/// <summary>Schedules a record. Answered when that is in force. A handle that is scheduled already, or was delivered a while ago, is
/// delivered once.</summary>
/// <param name="RequestId">The request.</param>
/// <param name="Handle">Its name and time. A time that has passed is due at once.</param>
/// <param name="Value">Content hash, target, key, headers and payload, as the shell encodes them.</param>
internal sealed record ScheduleRequest(long RequestId, ScheduleHandle Handle, ReadOnlyMemory<byte> Value) : ScheduleCommand;

/// <summary>Cancels a scheduled record. Answered when that is in force.</summary>
internal sealed record CancelRequest(long RequestId, ScheduleHandle Handle) : ScheduleCommand;

/// <summary>The records of an <see cref="AppendScheduleRecords"/> are below the high watermark.</summary>
/// <param name="Number">As given with the effect.</param>
/// <param name="FirstOffset">The offset of the first record; the others follow.</param>
internal sealed record ScheduleRecordsInForce(long Number, long FirstOffset) : ScheduleCommand;

/// <summary>The append failed, or its outcome is not known. The service ends; a new one begins with the log as it then is.</summary>
internal sealed record ScheduleAppendFailed(long Number) : ScheduleCommand;

/// <summary>The answer to <see cref="ReadScheduleTargets"/>.</summary>
/// <param name="Number">As given with the effect.</param>
/// <param name="Found">What was found of each timer.</param>
internal sealed record ScheduleTargetsRead(long Number, IReadOnlyList<FoundTarget> Found) : ScheduleCommand;

/// <summary>The answer to <see cref="FindMissingTopics"/>.</summary>
/// <param name="TopicIds">Those that are in no list. Perhaps the list is behind.</param>
internal sealed record MissingTopicsFound(IReadOnlySet<Guid> TopicIds) : ScheduleCommand;

/// <summary>The answer to <see cref="ConfirmMissingTopics"/>.</summary>
/// <param name="TopicIds">Those that were surely deleted.</param>
internal sealed record MissingTopicsConfirmed(IReadOnlySet<Guid> TopicIds) : ScheduleCommand;

/// <summary>What was found of a due record.</summary>
/// <param name="TopicId">The topic that it is for; empty: its schedule ended meanwhile.</param>
/// <param name="Target">The partition that it is for; null: none.</param>
/// <param name="Bytes">The record's bytes; where it repeats, also those of what is scheduled.</param>
internal readonly record struct FoundTarget(Guid TopicId, ScheduleTarget? Target, int Bytes = 0)
{
    /// <summary>Whether the topic or the time zone could not be looked up: the record waits. Otherwise a record without target is
    /// dropped.</summary>
    public bool IsUnknown { get; init; }

    /// <summary>The time zone by which the record repeats, or what stands for an expression that is not known; null: it does not
    /// repeat.</summary>
    public string? Zone { get; init; }

    /// <summary>Whether the topic would refuse the record by its configuration: it waits, and is tried again.</summary>
    public bool IsRefused { get; init; }

    /// <summary>What the record waits for. Records of which it is the same wait together.</summary>
    public WaitingPlace Place => new(TopicId, Zone, IsRefused);

    /// <summary>The first firing behind both this one and the time of the read; null: the record does not repeat, or no more.</summary>
    public long? NextDue { get; init; }
}

/// <summary>What due records wait for that are set aside.</summary>
/// <param name="TopicId">The topic.</param>
/// <param name="Zone">The time zone by which they repeat; see <see cref="FoundTarget.Zone"/>.</param>
/// <param name="IsRefused">Whether the topic refuses them.</param>
internal readonly record struct WaitingPlace(Guid TopicId, string? Zone, bool IsRefused)
{
    /// <summary>The place of the records that a topic refuses.</summary>
    public static WaitingPlace OfRefused(Guid topicId) => new(topicId, null, IsRefused: true);
}

/// <summary>The answer to <see cref="PublishIntent"/>.</summary>
/// <param name="Target">The target.</param>
/// <param name="FirstSequence">The first sequence of the intent.</param>
/// <param name="Outcome">What the target did.</param>
internal sealed record IntentAnswered(ScheduleTarget Target, long FirstSequence, PublishOutcome Outcome) : ScheduleCommand
{
    /// <summary>The first record that the target refused by its configuration: it has those before it, and was not sent those behind it.
    /// Null: it has all.</summary>
    public RefusedRecord? Refused { get; init; }
}

/// <summary>A record of an intent that its target refused.</summary>
/// <param name="Index">Which one of the intent.</param>
/// <param name="Bytes">How many bytes its value has in the schedules' log.</param>
/// <param name="Repeats">Whether it is a firing of a schedule that repeats.</param>
/// <param name="IsLast">Whether no firing follows it.</param>
internal readonly record struct RefusedRecord(int Index, int Bytes, bool Repeats = false, bool IsLast = false);

/// <summary>What a target did with an intent.</summary>
internal enum PublishOutcome
{
    /// <summary>Not known: it is published again.</summary>
    Unknown = 0,
    /// <summary>It has all records, from this publish or an earlier one, at its high watermark; or those before one that it
    /// refuses.</summary>
    Published = 1,
    /// <summary>It does not exist any more. The records are dropped, and counted.</summary>
    TargetGone = 2,
}

/// <summary>Output of a <see cref="ScheduleService"/>.</summary>
internal abstract record ScheduleEffect;

/// <summary>Append these records to the schedules' log, as one batch, as the leader; the values of copies are read from the log. Answer
/// with <see cref="ScheduleRecordsInForce"/> or <see cref="ScheduleAppendFailed"/>. The next batch is given after the answer.</summary>
internal sealed record AppendScheduleRecords(long Number, IReadOnlyList<ScheduleRecord> Records) : ScheduleEffect;

/// <summary>Read the payloads of these timers, and say which partition each is for, and when it fires again. Answer with
/// <see cref="ScheduleTargetsRead"/>.</summary>
/// <param name="Number">Names the read.</param>
/// <param name="Timers">The timers.</param>
/// <param name="Now">The time of day, in milliseconds since 1970: firings until then were missed.</param>
internal sealed record ReadScheduleTargets(long Number, IReadOnlyList<ScheduledTimer> Timers, long Now) : ScheduleEffect;

/// <summary>List the topics, and say which of these are missing. Answer with <see cref="MissingTopicsFound"/>.</summary>
internal sealed record FindMissingTopics(IReadOnlySet<Guid> TopicIds) : ScheduleEffect;

/// <summary>Read a payload of each topic that seems to be missing, for its name, and say which topics were surely deleted. Answer with
/// <see cref="MissingTopicsConfirmed"/>.</summary>
internal sealed record ConfirmMissingTopics(IReadOnlyList<ScheduledTimer> Timers) : ScheduleEffect;

/// <summary>
/// Append those of the intent's records to their target that it lacks. The target keeps the last sequence of each origin: higher ones are
/// accepted, lower ones are duplicates and answered as published. So the records behind one that it refuses are not sent. Answer with
/// <see cref="IntentAnswered"/>.
/// </summary>
internal sealed record PublishIntent(ScheduleIntent Intent) : ScheduleEffect;

/// <summary>Answer a request.</summary>
internal sealed record ScheduleAnswer(long RequestId, ScheduleOutcome Outcome) : ScheduleEffect;

/// <summary>Send a <see cref="ScheduleTick"/> at the earlier of two times; they replace earlier ones.</summary>
/// <param name="DueAt">A <see cref="ScheduleTime.Now"/>; <see cref="long.MaxValue"/>: never.</param>
/// <param name="RetryAt">A <see cref="ScheduleTime.Elapsed"/>; <see cref="long.MaxValue"/>: never.</param>
internal sealed record WakeSchedule(long DueAt, long RetryAt) : ScheduleEffect;

/// <summary>The service has ended. Begin a new one when the log is known again.</summary>
internal sealed record EndSchedules : ScheduleEffect;

/// <summary>The answers to requests.</summary>
internal enum ScheduleOutcome
{
    Unknown = 0,
    /// <summary>The record is scheduled, and will be delivered once.</summary>
    Scheduled,
    /// <summary>The record will not be delivered.</summary>
    Cancelled,
    /// <summary>There is no such record: it was delivered, cancelled, or never scheduled.</summary>
    NotFound,
    /// <summary>The record is being delivered.</summary>
    TooLate,
    /// <summary>The leader lost the log. Whether the request took effect is not known; repeat it.</summary>
    Unclear,
    /// <summary>The handle names a record with other content.</summary>
    OtherContent,
}
