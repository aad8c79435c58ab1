namespace OrleansMq.Schedules;

/// <summary>A note in a bucket: a timer was scheduled, or cancelled.</summary>
/// <param name="Timer">The timer; of a cancelled one only the handle counts.</param>
/// <param name="IsCancelled">Whether it was cancelled.</param>
internal readonly record struct TimerNote(ScheduledTimer Timer, bool IsCancelled);

/// <summary>
/// The timers of the far future, on disk: one list of notes for each bucket of time. It is derived from the schedules' log. A crash may
/// lose what was noted since the last <see cref="Flush"/>; then a checkpoint and the log behind it restore the rest.
/// </summary>
internal interface ITimerBuckets
{
    /// <summary>Adds a note to a bucket.</summary>
    void Append(long bucket, in TimerNote note);

    /// <summary>Reads the notes of a bucket, in the order in which they were added.</summary>
    IEnumerable<TimerNote> Read(long bucket);

    /// <summary>Keeps the first notes of a bucket, and removes the others.</summary>
    void Truncate(long bucket, long notes);

    /// <summary>Removes the bucket, if it exists.</summary>
    void Delete(long bucket);

    /// <summary>Makes all notes durable.</summary>
    void Flush();
}
