namespace OrleansMq.Schedules;

/// <summary>Input of a <see cref="ScheduleService"/>.</summary>
internal abstract record ScheduleCommand;

/// <summary>Time passed: the answer to <see cref="WakeScheduleAt"/>.</summary>
internal sealed record ScheduleTick : ScheduleCommand;

/// <summary>Schedules a record. Answered when that is in force. A handle that is scheduled already, with the same time and id, stays as it
/// is or is replaced; it is delivered once.</summary>
/// <param name="RequestId">The request.</param>
/// <param name="Handle">Its name and time. A time that has passed is due at once.</param>
/// <param name="Value">Target, key, headers and payload, as the shell encodes them.</param>
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
/// <param name="Targets">The target of each timer; null: it has none any more, and the record is dropped.</param>
internal sealed record ScheduleTargetsRead(long Number, IReadOnlyList<ScheduleTarget?> Targets) : ScheduleCommand
{
    /// <summary>The bytes of each record; empty: they do not matter.</summary>
    public IReadOnlyList<int> Bytes { get; init; } = [];
}

/// <summary>The answer to <see cref="PublishIntent"/>.</summary>
internal sealed record IntentAnswered(ScheduleTarget Target, long FirstSequence, PublishOutcome Outcome) : ScheduleCommand;

/// <summary>What a target did with an intent.</summary>
internal enum PublishOutcome
{
    /// <summary>Not known: it is published again.</summary>
    Unknown = 0,
    /// <summary>It has all records, from this publish or an earlier one, at its high watermark.</summary>
    Published = 1,
    /// <summary>It does not exist any more. The records are dropped, and counted.</summary>
    TargetGone = 2,
}

/// <summary>Output of a <see cref="ScheduleService"/>.</summary>
internal abstract record ScheduleEffect;

/// <summary>Append these records to the schedules' log, as one batch, as the leader. Answer with <see cref="ScheduleRecordsInForce"/> or
/// <see cref="ScheduleAppendFailed"/>. The next batch is given after the answer.</summary>
internal sealed record AppendScheduleRecords(long Number, IReadOnlyList<ScheduleRecord> Records) : ScheduleEffect;

/// <summary>Read the payloads of these timers, and say which partition each is for. Answer with
/// <see cref="ScheduleTargetsRead"/>.</summary>
internal sealed record ReadScheduleTargets(long Number, IReadOnlyList<ScheduledTimer> Timers) : ScheduleEffect;

/// <summary>
/// Append the intent's records to their target. The target keeps the last sequence of this partition of the schedules: the next one is
/// accepted, lower ones are duplicates and answered as published, higher ones are refused. A record that it refuses for good uses up its
/// sequence. Answer with <see cref="IntentAnswered"/>.
/// </summary>
internal sealed record PublishIntent(ScheduleIntent Intent) : ScheduleEffect;

/// <summary>Answer a request.</summary>
internal sealed record ScheduleAnswer(long RequestId, ScheduleOutcome Outcome) : ScheduleEffect;

/// <summary>Send a <see cref="ScheduleTick"/> at this time; it replaces an earlier one.</summary>
internal sealed record WakeScheduleAt(long Time) : ScheduleEffect;

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
    /// <summary>The leader lost the log. Whether the request took effect is not known; repeat it before the due time.</summary>
    Unclear,
}
