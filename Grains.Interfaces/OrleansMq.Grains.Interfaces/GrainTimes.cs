namespace OrleansMq.Grains;

/// <summary>How long grain calls may take.</summary>
internal static class GrainTimes
{
    /// <summary>
    /// Calls that touch every partition of a topic: with 10,000 of them, on a slow disk, Orleans' usual 30 seconds are too few. As
    /// hours:minutes:seconds.
    /// </summary>
    public const string Administration = "00:05:00";

    /// <summary>
    /// Calls of the data path: Orleans tells a client that waits for a silo that has died nothing before this is over. A batch that waits
    /// longer for its replicas has an unknown outcome, as after any timeout: sent again with its producer id it is not doubled. As
    /// hours:minutes:seconds.
    /// </summary>
    public const string Data = "00:00:10";
}
