namespace OrleansMq.Tests.Chaos.Runs;

/// <summary>The seeds of runs: random, or that of <c>OMQ_SEED</c>.</summary>
internal static class Seeds
{
    public static int Next() =>
        int.TryParse(Environment.GetEnvironmentVariable("OMQ_SEED"), out var seed) ? seed : Random.Shared.Next();

    public static string Replay(int seed) => $"The same faults again: OMQ_SEED={seed} ./omq test Chaos";
}
