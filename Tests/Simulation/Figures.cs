namespace OrleansMq.Tests.Simulation;

/// <summary>Counts what runs did, so that a simulation of nothing fails.</summary>
internal sealed class Figures : IFigures<Figures>
{
    public long Seeds { get; set; }
    public long Steps { get; set; }
    public long Crashes { get; set; }
    public long Elections { get; set; }
    public long Unclean { get; set; }
    public long Handovers { get; set; }
    public long Reassignments { get; set; }
    public long Resets { get; set; }
    public long Compactions { get; set; }
    /// <summary>Compactions that removed a tombstone.</summary>
    public long Erasures { get; set; }
    /// <summary>Followers that began again since they lacked a tombstone.</summary>
    public long ErasedResets { get; set; }
    public long Deletions { get; set; }
    public long ConfigChanges { get; set; }
    public long Acknowledged { get; set; }
    /// <summary>Records that were acknowledged before they were below the high watermark.</summary>
    public long Unflushed { get; set; }
    /// <summary>Batches that were repeated, and told apart by their message ids.</summary>
    public long Repeated { get; set; }
    /// <summary>Statements of message ids.</summary>
    public long Restated { get; set; }
    /// <summary>Runs in which no eligible leader was left.</summary>
    public long Stuck { get; set; }

    public void Add(Figures other)
    {
        Seeds += other.Seeds;
        Steps += other.Steps;
        Crashes += other.Crashes;
        Elections += other.Elections;
        Unclean += other.Unclean;
        Handovers += other.Handovers;
        Reassignments += other.Reassignments;
        Resets += other.Resets;
        Compactions += other.Compactions;
        Erasures += other.Erasures;
        ErasedResets += other.ErasedResets;
        Deletions += other.Deletions;
        ConfigChanges += other.ConfigChanges;
        Acknowledged += other.Acknowledged;
        Unflushed += other.Unflushed;
        Repeated += other.Repeated;
        Restated += other.Restated;
        Stuck += other.Stuck;
    }

    public string Last => $"seeds {Seeds}, steps {Steps}, crashes {Crashes}, elections {Elections}, records acknowledged {Acknowledged}";

    public override string ToString() =>
        $"{Seeds} seeds, {Steps} steps, {Crashes} crashes, {Elections} elections ({Unclean} unclean), {Handovers} handovers, "
        + $"{Reassignments} reassignments, "
        + $"{Resets} logs restarted, {Compactions} compactions, {Erasures} erasures ({ErasedResets} began again), "
        + $"{Deletions} deletions, {ConfigChanges} reconfigurations, "
        + $"{Acknowledged} records acknowledged ({Unflushed} others before their flush), "
        + $"{Repeated} batches known by message ids ({Restated} statements), "
        + $"{Stuck} left without an eligible member";
}
