namespace OrleansMq.Schedules;

/// <summary>A partition that scheduled records are appended to.</summary>
/// <param name="TopicId">The topic. One that is created again under the same name is another.</param>
/// <param name="Partition">The partition.</param>
internal readonly record struct ScheduleTarget(Guid TopicId, int Partition);

/// <summary>
/// The decision to append records to a target, which no leader takes back: these records have these sequences there, for ever. So every
/// leader may append them again, and the target recognises them.
/// </summary>
/// <param name="Target">The target.</param>
/// <param name="FirstSequence">The sequence of the first record; the others follow.</param>
/// <param name="Origin">The leadership that decided it. Its sequences are its own: where a lost tail of the log takes intents along, later
/// ones are not mistaken for them.</param>
/// <param name="Timers">The records, in order.</param>
internal sealed record ScheduleIntent(ScheduleTarget Target, long FirstSequence, long Origin, IReadOnlyList<ScheduledTimer> Timers)
{
    /// <summary>The sequence behind the last record.</summary>
    public long NextSequence => FirstSequence + Timers.Count;
}
