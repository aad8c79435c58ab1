namespace OrleansMq.Schedules;

/// <summary>
/// Names one scheduled record. It holds the due time, so that a timer years ahead is cancelled by a note in its time's bucket: no index of
/// all ids is needed.
/// </summary>
/// <param name="Due">When the record is due, in milliseconds since 1970.</param>
/// <param name="Id">The record among those of that time.</param>
internal readonly record struct ScheduleHandle(long Due, Guid Id) : IComparable<ScheduleHandle>
{
    /// <summary>The order in which records are delivered: by time, then by id.</summary>
    public int CompareTo(ScheduleHandle other)
    {
        var byDue = Due.CompareTo(other.Due);
        return byDue != 0 ? byDue : Id.CompareTo(other.Id);
    }
}

/// <summary>A scheduled record.</summary>
/// <param name="Handle">Its name, with its due time.</param>
/// <param name="Reference">The offset of its payload in the schedules' log.</param>
/// <param name="Content">A hash of what is scheduled, which tells a repeated request from another one.</param>
/// <param name="TopicId">The topic that it is for; empty in an intent, which names its target.</param>
internal readonly record struct ScheduledTimer(ScheduleHandle Handle, long Reference, long Content = 0, Guid TopicId = default);

/// <summary>A record that was appended to its target: a request for it that is repeated changes nothing.</summary>
/// <param name="Handle">Its name.</param>
/// <param name="Content">The hash of what was scheduled.</param>
/// <param name="At">When it was appended, in milliseconds since 1970, by the clock of the leader.</param>
/// <param name="IsFiring">Whether it was a firing of a schedule that goes on: those are forgotten apart from the others.</param>
internal readonly record struct AppendedSchedule(ScheduleHandle Handle, long Content, long At, bool IsFiring = false);
