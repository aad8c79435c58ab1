namespace OrleansMq.Tests.Shared;

/// <summary>Warnings and errors in a silo's log.</summary>
internal static class Complaints
{
    // Orleans and Kestrel warn of an overloaded machine; those messages are not ours.
    private static readonly string[] s_ofTheMachine = ["took elapsed time", ".NET Thread Pool is exhibiting delays",
        "the heartbeat has been running for", "timer should have fired at",
        "Self-monitoring determined that local health is degraded", "is reporting that it is unhealthy"];

    /// <summary>Fails if the log contains a warning or an error.</summary>
    public static void AssertNone(string log)
    {
        var loud = log.Split('\n').Where(static line =>
            (line.Contains(" WARN ", StringComparison.Ordinal) || line.Contains(" ERROR ", StringComparison.Ordinal))
            && !s_ofTheMachine.Any(words => line.Contains(words, StringComparison.OrdinalIgnoreCase))).ToList();
        Assert.True(loud.Count == 0, string.Join('\n', loud));
    }
}
