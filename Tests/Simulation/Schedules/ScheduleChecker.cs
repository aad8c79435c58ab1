using OrleansMq.Schedules;

namespace OrleansMq.Tests.Simulation.Schedules;

/// <summary>What clients know of their records, and what the targets have. The invariants:
/// <list type="number">
/// <item>A scheduled and answered record is delivered, unless it is cancelled or its target is gone. Of one that repeats no firing is left
/// out, but those that had passed when the one before was read.</item>
/// <item>A record is delivered at most once.</item>
/// <item>No record is taken as due before it is, beyond the skew of the clocks; a clock that is set forward counts once it has lasted, and
/// no longer than it lasts.</item>
/// <item>A record whose cancellation was answered is not delivered; of one that repeats, only the firing that was decided before.</item>
/// <item>An answer says what is so.</item>
/// <item>A sequence of a target means the same record for ever, and its payload is there until it is delivered.</item>
/// <item>Nothing waits for ever.</item>
/// <item>The state from checkpoint and log equals the state from the log alone.</item>
/// </list></summary>
internal sealed class ScheduleChecker(ScheduleSimulation simulation)
{
    private readonly Dictionary<ScheduleHandle, Known> _known = [];
    private readonly List<ScheduleHandle> _handles = [];

    private sealed class Known
    {
        public required SimulatedScheduleTarget Target { get; init; }
        public bool IsScheduled { get; set; }
        public bool IsCancelTried { get; set; }
        public bool IsCancelled { get; set; }
        public bool IsDelivered { get; set; }
        public bool IsEarly { get; set; }
    }

    public IReadOnlyList<ScheduleHandle> Handles => _handles;

    public bool IsAnswered(ScheduleHandle handle) => _known[handle].IsScheduled;

    public void Try(ScheduleHandle handle, SimulatedScheduleTarget target)
    {
        _known.Add(handle, new Known { Target = target });
        _handles.Add(handle);
    }

    /// <returns>Whether no other cancellation was tried, which may have taken effect without an answer.</returns>
    public bool TryCancel(ScheduleHandle handle)
    {
        var isFirst = !_known[handle].IsCancelTried;
        _known[handle].IsCancelTried = true;
        return isFirst;
    }

    /// <param name="handle">The record.</param>
    /// <param name="outcome">The answer.</param>
    /// <param name="isKnown">Whether the client knew that the record was scheduled, and not cancelled, when it sent the request.</param>
    public void Answered(ScheduleHandle handle, ScheduleOutcome outcome, bool isKnown)
    {
        var known = _known[handle];
        switch (outcome)
        {
            case ScheduleOutcome.Scheduled:
                known.IsScheduled = true;
                simulation.Figures.Scheduled++;
                break;
            case ScheduleOutcome.Cancelled:
                // A record beyond the horizon is not looked up; only a clock that was ahead delivers it.
                Verdict.Require(!known.IsDelivered || known.IsEarly, $"5: {handle} is cancelled, and was delivered.");
                known.IsCancelled = true;
                simulation.Figures.Cancelled++;
                break;
            case ScheduleOutcome.NotFound:
                Verdict.Require(!isKnown || known.IsDelivered || known.IsCancelled || known.Target.IsGone,
                    $"5: {handle} is not found, but scheduled.");
                break;
            case ScheduleOutcome.TooLate:
                simulation.Figures.TooLate++;
                break;
        }
    }

    public void Delivered(ScheduleHandle handle, SimulatedScheduleTarget target)
    {
        var known = _known[handle];
        Verdict.Require(!known.IsDelivered, $"2: {handle} is delivered twice.");
        Verdict.Require(!known.IsCancelled, $"4: {handle} is delivered, but its cancellation was answered.");
        Verdict.Require(known.Target == target, $"6: {handle} is delivered to another target.");
        (known.IsDelivered, known.IsEarly) = (true, handle.Due > simulation.Now + ScheduleSimulation.SkewMs);
        simulation.Figures.Delivered++;
    }

    public void CheckEnd()
    {
        foreach (var (handle, known) in _known)
        {
            Verdict.Require(!known.IsScheduled || known.IsDelivered || known.IsCancelTried || known.Target.IsGone,
                $"1: {handle} was scheduled, and is not delivered.");
        }
    }

    public static void CheckSame(ScheduleState state, ScheduleState reference)
    {
        Verdict.Require(state.Timers.All().OrderBy(timer => timer.Handle).SequenceEqual(
            reference.Timers.All().OrderBy(timer => timer.Handle)), "8: the timers differ from those of the log.");
        Verdict.Require(Intents(state).SequenceEqual(Intents(reference)), "8: the intents differ from those of the log.");
        Verdict.Require(state.Sequences.OrderBy(next => next.Key.TopicId).SequenceEqual(
            reference.Sequences.OrderBy(next => next.Key.TopicId)), "8: the sequences differ from those of the log.");

        Verdict.Require(state.Appended.SequenceEqual(reference.Appended) && state.Fired.SequenceEqual(reference.Fired),
            "8: what was appended differs from that of the log.");

        static IEnumerable<(ScheduleTarget, long, ScheduledTimer)> Intents(ScheduleState state) =>
            from target in state.Targets.OrderBy(target => target.TopicId)
            from intent in state.IntentsOf(target)
            from timer in intent.Timers
            select (target, intent.FirstSequence, timer);
    }
}
