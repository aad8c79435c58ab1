namespace OrleansMq.Tests.Engine.Crash;

/// <summary>Counts what a round did, so that a suite that tests nothing fails.</summary>
internal sealed class RoundStatistics
{
    public int Appends { get; set; }
    public int Rolls { get; set; }
    public int Recoveries { get; set; }
    public int Compactions { get; set; }
    public int Retries { get; set; }
    public bool EndedOffline { get; set; }
    public bool LostUnflushed { get; set; }
    public List<(FaultKind Kind, string Effect)> Faults { get; } = [];

    /// <summary>Whether the round had at least 50 appends, a roll, an effective fault, and a checked recovery.</summary>
    public bool Counts => Appends >= 50 && Rolls >= 1 && Faults.Count >= 1 && Recoveries >= 1;
}
