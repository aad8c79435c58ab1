namespace OrleansMq.Tests.Simulation.Schedules;

/// <summary>Counts what the runs did, so that a simulation of nothing fails.</summary>
internal sealed class ScheduleFigures : IFigures<ScheduleFigures>
{
    public long Seeds { get; set; }
    public long Steps { get; set; }
    public long Failovers { get; set; }
    /// <summary>Failovers from a leader that lived on.</summary>
    public long Zombies { get; set; }
    /// <summary>Batches that a failover cut.</summary>
    public long Cut { get; set; }
    public long Scheduled { get; set; }
    public long Cancelled { get; set; }
    public long TooLate { get; set; }
    public long Delivered { get; set; }
    /// <summary>Schedules that repeat.</summary>
    public long Repetitions { get; set; }
    /// <summary>Their firings that were delivered.</summary>
    public long Firings { get; set; }
    /// <summary>Those that were cancelled.</summary>
    public long Ended { get; set; }
    /// <summary>Intents that a target had already.</summary>
    public long Duplicates { get; set; }
    /// <summary>Intents of which a target had a part.</summary>
    public long Parts { get; set; }
    /// <summary>Records that a target refused.</summary>
    public long Refused { get; set; }
    public long ClocksSet { get; set; }
    /// <summary>Leaders that began with a checkpoint.</summary>
    public long Restored { get; set; }
    public long Compactions { get; set; }
    /// <summary>Topics that sweeps found to be gone.</summary>
    public long Swept { get; set; }

    public void Add(ScheduleFigures other)
    {
        Seeds += other.Seeds;
        Steps += other.Steps;
        Failovers += other.Failovers;
        Zombies += other.Zombies;
        Cut += other.Cut;
        Scheduled += other.Scheduled;
        Cancelled += other.Cancelled;
        TooLate += other.TooLate;
        Delivered += other.Delivered;
        Repetitions += other.Repetitions;
        Firings += other.Firings;
        Ended += other.Ended;
        Duplicates += other.Duplicates;
        Parts += other.Parts;
        Refused += other.Refused;
        ClocksSet += other.ClocksSet;
        Restored += other.Restored;
        Compactions += other.Compactions;
        Swept += other.Swept;
    }

    public string Last => $"seeds {Seeds}, events {Steps}, failovers {Failovers}, scheduled {Scheduled}, delivered {Delivered}, "
        + $"cancelled {Cancelled}";

    public override string ToString() =>
        $"{Seeds} seeds, {Steps} events, {Failovers} failovers ({Zombies} from a zombie), {Cut} batches cut, {Scheduled} scheduled, "
        + $"{Delivered} delivered, {Repetitions} repeat, {Firings} firings, {Ended} of them cancelled, "
        + $"{Duplicates} intents again, {Parts} in part, {Refused} refused, {ClocksSet} clocks set, "
        + $"{Cancelled} cancelled, {TooLate} too late, {Restored} restored, "
        + $"{Compactions} compactions, {Swept} topics swept";
}
