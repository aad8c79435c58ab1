namespace OrleansMq.Tests.Simulation.Transactions;

/// <summary>Counts what the runs did, so that a simulation of nothing fails.</summary>
internal sealed class TransactionFigures : IFigures<TransactionFigures>
{
    public long Seeds { get; set; }
    public long Steps { get; set; }
    /// <summary>Transactions that were decided, by the outcome.</summary>
    public long Commits { get; set; }
    public long Aborts { get; set; }
    /// <summary>Clients that ended since another instance, or a timeout, fenced them.</summary>
    public long Fenced { get; set; }
    /// <summary>Takeovers by a coordinator from another.</summary>
    public long Failovers { get; set; }
    /// <summary>Takeovers from a coordinator that lived on.</summary>
    public long Zombies { get; set; }
    public long Unclear { get; set; }
    public long LeaderChanges { get; set; }
    /// <summary>Batches and markers that a change of leader cut.</summary>
    public long Truncated { get; set; }
    /// <summary>Producer ids whose epochs were used up.</summary>
    public long Exhausted { get; set; }
    /// <summary>Coordinator epochs that participants refused.</summary>
    public long Raised { get; set; }
    public long ExpiredIds { get; set; }
    public long ExpiredProducers { get; set; }
    /// <summary>Batches that were refused since their transaction had ended.</summary>
    public long TooLate { get; set; }
    /// <summary>Markers that came again.</summary>
    public long Repeated { get; set; }
    public long Offsets { get; set; }

    public void Add(TransactionFigures other)
    {
        Seeds += other.Seeds;
        Steps += other.Steps;
        Commits += other.Commits;
        Aborts += other.Aborts;
        Fenced += other.Fenced;
        Failovers += other.Failovers;
        Zombies += other.Zombies;
        Unclear += other.Unclear;
        LeaderChanges += other.LeaderChanges;
        Truncated += other.Truncated;
        Exhausted += other.Exhausted;
        Raised += other.Raised;
        ExpiredIds += other.ExpiredIds;
        ExpiredProducers += other.ExpiredProducers;
        TooLate += other.TooLate;
        Repeated += other.Repeated;
        Offsets += other.Offsets;
    }

    public string Last => $"seeds {Seeds}, events {Steps}, transactions committed {Commits}, aborted {Aborts}, failovers {Failovers}";

    public override string ToString() =>
        $"{Seeds} seeds, {Steps} events, {Commits} commits, {Aborts} aborts, {Fenced} fenced, {Failovers} failovers ({Zombies} from a "
        + $"zombie), {Unclear} unclear writes, {LeaderChanges} leader changes, {Truncated} truncated, {Exhausted} exhausted, {Raised} "
        + $"coordinator epochs raised, {ExpiredIds} ids and {ExpiredProducers} producers expired, {TooLate} batches too late, {Repeated} "
        + $"markers repeated, {Offsets} offsets";
}
