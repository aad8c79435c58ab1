using OrleansMq.Schedules;

namespace OrleansMq.Tests.Simulation.Schedules;

/// <summary>A partition that scheduled records are appended to. It keeps the last sequence of each origin, as the log's producers
/// do.</summary>
internal sealed class SimulatedScheduleTarget(ScheduleTarget id)
{
    private readonly Dictionary<long, long> _last = [];

    public ScheduleTarget Id { get; } = id;
    public bool IsAway { get; set; }
    public bool IsGone { get; set; }
    /// <summary>Its topic cannot be looked up.</summary>
    public bool IsDamaged { get; set; }

    /// <summary>Appends the first records of an intent that the target lacks.</summary>
    /// <returns>The number of records that it had.</returns>
    public int Append(ScheduleIntent intent, int most, Action<ScheduledTimer> deliver)
    {
        var duplicates = 0;
        for (var i = 0; i < most; i++)
        {
            if (intent.FirstSequence + i <= _last.GetValueOrDefault(intent.Origin, -1))
            {
                duplicates++;
                continue;
            }
            _last[intent.Origin] = intent.FirstSequence + i;
            deliver(intent.Timers[i]);
        }
        return duplicates;
    }
}
