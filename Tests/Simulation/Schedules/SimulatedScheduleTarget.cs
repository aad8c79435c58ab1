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
    /// <summary>It refuses some records by its configuration.</summary>
    public bool IsStrict { get; set; }

    /// <summary>Whether it refuses a record now.</summary>
    public bool Refuses(ScheduleHandle handle) => IsStrict && handle.Id.ToByteArray()[^1] % 3 == 0;

    /// <summary>Appends the first records of an intent that the target lacks, until it refuses one.</summary>
    /// <returns>The number of records that it had.</returns>
    public int Append(ScheduleIntent intent, int most, Action<ScheduledTimer> deliver, Action<int> refuse)
    {
        var duplicates = 0;
        for (var i = 0; i < most; i++)
        {
            if (intent.FirstSequence + i <= _last.GetValueOrDefault(intent.Origin, -1))
            {
                duplicates++;
                continue;
            }
            if (Refuses(intent.Timers[i].Handle))
            {
                refuse(i);
                break;
            }
            _last[intent.Origin] = intent.FirstSequence + i;
            deliver(intent.Timers[i]);
        }
        return duplicates;
    }
}
