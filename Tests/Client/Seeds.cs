namespace OrleansMq.Tests.Client;

/// <summary>Seeds of random tests: new with each run, or the one of <c>OMQ_SEED</c> to replay a failure.</summary>
internal static class Seeds
{
    public static int Next() =>
        int.TryParse(Environment.GetEnvironmentVariable("OMQ_SEED"), out var seed) ? seed : Random.Shared.Next();

    public static string Replay(int seed, string test) =>
        $"seed {seed}; replay with: OMQ_SEED={seed} dotnet test Tests/Client -p:Orleans=false --filter {test}";
}
