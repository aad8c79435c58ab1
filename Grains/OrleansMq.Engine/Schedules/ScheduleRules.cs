namespace OrleansMq.Schedules;

/// <summary>The decisions of a <see cref="ScheduleService"/> that keep its invariants. Pure. The simulation replaces them one by one by
/// wrong ones, to see that its checkers detect each.</summary>
internal class ScheduleRules
{
    /// <summary>The rules of the product.</summary>
    public static readonly ScheduleRules Shipped = new();

    /// <summary>Returns the last due time that is delivered now.</summary>
    /// <param name="now">The time of day; it may go back.</param>
    /// <param name="latest">The latest time of day that the service was told.</param>
    public virtual long DueBy(long now, long latest) => now;

    /// <summary>Whether an intent may be published.</summary>
    /// <param name="isInForce">Whether it is below the high watermark of the schedules' log.</param>
    public virtual bool MayPublish(bool isInForce) => isInForce;

    /// <summary>Whether a request may be answered.</summary>
    /// <param name="isInForce">Whether its record is below the high watermark of the schedules' log.</param>
    public virtual bool MayAnswer(bool isInForce) => isInForce;

    /// <summary>Returns the first sequence of the next intent of a target.</summary>
    /// <param name="decided">The one behind the last intent that this leader decided.</param>
    /// <param name="inForce">The one behind the last intent in force.</param>
    public virtual long FirstSequence(long decided, long inForce) => decided;

    /// <summary>Whether an intent is over after an answer of its target.</summary>
    public virtual bool IsOver(PublishOutcome outcome) => outcome != PublishOutcome.Unknown;

    /// <summary>Whether a record that was appended is remembered.</summary>
    public virtual bool RemembersAppended => true;

    /// <summary>Whether a record can no longer be cancelled.</summary>
    /// <param name="isIntended">Whether an intent names it, in force or not.</param>
    public virtual bool IsTooLate(bool isIntended) => isIntended;

    /// <summary>Returns what the cancellation of a schedule that repeats removes, while one of its firings is decided.</summary>
    /// <param name="firing">The firing.</param>
    /// <param name="next">The next one, which is scheduled with it.</param>
    public virtual ScheduleHandle Ended(ScheduleHandle firing, ScheduleHandle next) => next;

    /// <summary>Whether the next firing of a record that repeats is scheduled in the batch that decides one.</summary>
    public virtual bool RepeatsAtOnce => true;

    /// <summary>Whether a firing waits.</summary>
    /// <param name="isDelivering">Whether an earlier one is being delivered.</param>
    public virtual bool WaitsForEarlier(bool isDelivering) => isDelivering;

    /// <summary>Whether a due record waits.</summary>
    /// <param name="isChanging">Whether a request about it is not in force yet.</param>
    public virtual bool Waits(bool isChanging) => isChanging;

    /// <summary>Whether a record that waited is looked at again when the requests about it are in force.</summary>
    public virtual bool WaitEnds => true;

    /// <summary>Returns the intent of a target that is published next, of those that are not over.</summary>
    public virtual ScheduleIntent? Next(IEnumerable<ScheduleIntent> intents) => intents.FirstOrDefault();

    /// <summary>Whether a target that refused a record gets nothing until the record is scheduled again, in force.</summary>
    public virtual bool WaitsForRefused => true;

    /// <summary>Whether a new leader publishes the intents that it finds in the log.</summary>
    public virtual bool ResumesIntents => true;

    /// <summary>Whether a sweep removes a record.</summary>
    /// <param name="isGone">Whether its topic was confirmed to be deleted.</param>
    public virtual bool Sweeps(bool isGone) => isGone;

    /// <summary>Whether due times wake the service.</summary>
    public virtual bool WakesWhenDue => true;
}
