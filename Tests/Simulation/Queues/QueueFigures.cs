namespace OrleansMq.Tests.Simulation.Queues;

/// <summary>Counts what the runs did, so that a simulation of nothing fails.</summary>
internal sealed class QueueFigures : IFigures<QueueFigures>
{
    public long Seeds { get; set; }
    public long Steps { get; set; }
    public long Failovers { get; set; }
    /// <summary>Failovers from a leader that lived on.</summary>
    public long Zombies { get; set; }
    /// <summary>Transitions that a failover cut.</summary>
    public long Cut { get; set; }
    public long Deliveries { get; set; }
    public long Redeliveries { get; set; }
    /// <summary>Records of deliveries that were joined.</summary>
    public long Joined { get; set; }
    public long Settled { get; set; }
    /// <summary>Requests refused for their lock.</summary>
    public long Refused { get; set; }
    public long DeadLetters { get; set; }
    /// <summary>Records that were dropped for a limit.</summary>
    public long Overflows { get; set; }
    /// <summary>Comparisons of a leader's sum of bytes with its records.</summary>
    public long Counts { get; set; }
    public long Expired { get; set; }
    public long Filtered { get; set; }
    public long Resets { get; set; }
    public long Rebuilds { get; set; }

    public void Add(QueueFigures other)
    {
        Seeds += other.Seeds;
        Steps += other.Steps;
        Failovers += other.Failovers;
        Zombies += other.Zombies;
        Cut += other.Cut;
        Deliveries += other.Deliveries;
        Redeliveries += other.Redeliveries;
        Joined += other.Joined;
        Settled += other.Settled;
        Refused += other.Refused;
        DeadLetters += other.DeadLetters;
        Overflows += other.Overflows;
        Counts += other.Counts;
        Expired += other.Expired;
        Filtered += other.Filtered;
        Resets += other.Resets;
        Rebuilds += other.Rebuilds;
    }

    public string Last => $"seeds {Seeds}, events {Steps}, failovers {Failovers}, deliveries {Deliveries}, settled {Settled}, "
        + $"dead letters {DeadLetters}";

    public override string ToString() =>
        $"{Seeds} seeds, {Steps} events, {Failovers} failovers ({Zombies} from a zombie), {Cut} transitions cut, {Deliveries} deliveries "
        + $"({Redeliveries} again, {Joined} joined), {Settled} settlements answered, {Refused} refused, {DeadLetters} dead letters, "
        + $"{Overflows} overflows, {Counts} counts of bytes, {Expired} expired, {Filtered} filtered, {Resets} resets, {Rebuilds} rebuilds";
}
