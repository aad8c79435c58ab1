namespace OrleansMq.Grains;

/// <summary>How long grain calls may take.</summary>
internal static class GrainTimes
{
    /// <summary>
    /// Calls that touch every partition of a topic: with 10,000 of them, on a slow disk, Orleans' usual 30 seconds are too few. As
    /// hours:minutes:seconds.
    /// </summary>
    public const string Administration = "00:05:00";
}
