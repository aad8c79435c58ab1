using OrleansMq.Schedules;

namespace OrleansMq.Tests.Simulation.Schedules;

/// <summary>A partition that scheduled records are appended to. It keeps the next sequence of the schedules.</summary>
internal sealed class SimulatedScheduleTarget(ScheduleTarget id)
{
    private long _next;

    public ScheduleTarget Id { get; } = id;
    public bool IsAway { get; set; }
    public bool IsGone { get; set; }

    /// <summary>Appends an intent's records, unless the target has them.</summary>
    /// <returns>Null: refused, since a sequence before it is missing.</returns>
    public bool? Append(ScheduleIntent intent, Action<ScheduledTimer> deliver)
    {
        if (intent.FirstSequence > _next)
            return null;
        if (intent.FirstSequence < _next)
        {
            Verdict.Require(intent.NextSequence <= _next, $"6: an intent at {intent.FirstSequence} overlaps the sequence {_next}.");
            return false;
        }
        _next = intent.NextSequence;
        foreach (var timer in intent.Timers)
            deliver(timer);
        return true;
    }
}
