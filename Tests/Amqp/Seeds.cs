using System.Globalization;

namespace OrleansMq.Tests.Amqp;

/// <summary>The seeds of random tests: new in each run, or that of <c>OMQ_SEED</c> to replay a failure.</summary>
internal static class Seeds
{
    public static int Next() =>
        int.TryParse(Environment.GetEnvironmentVariable("OMQ_SEED"), CultureInfo.InvariantCulture, out var seed)
            ? seed : Random.Shared.Next();

    public static string Replay(int seed, string test) =>
        $"seed {seed}; replay with: OMQ_SEED={seed} dotnet test Tests/Amqp -p:Orleans=false --filter {test}";
}
