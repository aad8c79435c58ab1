namespace OrleansMq.Tests.Simulation;

/// <summary>A broken invariant, by its name.</summary>
internal sealed class Verdict(string message) : Exception(message)
{
    public static void Require(bool holds, string invariant)
    {
        if (!holds)
            throw new Verdict(invariant);
    }
}
