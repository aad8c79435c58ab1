using Xunit.Abstractions;

namespace OrleansMq.Tests.Simulation;

/// <summary>Looks for a seed whose run detects a built-in bug.</summary>
/// <param name="mostSeeds">The number of seeds without a detection after which the checkers count as blind.</param>
/// <param name="seedsAtOnce">The number of seeds that run between checks for a detection.</param>
/// <param name="output">Receives the seed and the message of the detection.</param>
internal sealed class MutantSearch(int mostSeeds, int seedsAtOnce, ITestOutputHelper output)
{
    /// <summary>Runs seeds from 0 on until one throws; fails if none does.</summary>
    /// <param name="mutant">The bug.</param>
    /// <param name="run">Runs a seed with it.</param>
    public void Find(string mutant, Action<int> run)
    {
        for (var first = 0; first < mostSeeds; first += seedsAtOnce)
        {
            var found = new string?[seedsAtOnce];
            Parallel.For(0, seedsAtOnce, i => found[i] = Break(first + i, run));
            var index = Array.FindIndex(found, f => f is not null);
            if (index < 0)
                continue;
            output.WriteLine($"{mutant}: seed {first + index}: {found[index]}");
            return;
        }
        Assert.Fail($"{mostSeeds} seeds ran with {mutant} and no checker detected it.");
    }

    private static string? Break(int seed, Action<int> run)
    {
        try
        {
            run(seed);
            return null;
        }
        catch (Exception exception)
        {
            // Includes assertions and exceptions of the code under test.
            return exception.Message;
        }
    }
}
