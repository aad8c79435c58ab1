namespace OrleansMq.Grains;

/// <summary>Response timeouts of grain calls, as hours:minutes:seconds.</summary>
internal static class GrainTimes
{
    /// <summary>
    /// For calls that touch every partition of a topic. With 10,000 partitions on a slow disk, Orleans' default of 30 seconds is too short.
    /// </summary>
    public const string Administration = "00:05:00";

    /// <summary>
    /// For calls of the data path: Orleans does not tell a client that its silo died before the timeout. A batch that waits longer for its
    /// replicas has an unknown outcome, as after any timeout. Sent again with its producer id it is not duplicated.
    /// </summary>
    public const string Data = "00:00:10";
}
