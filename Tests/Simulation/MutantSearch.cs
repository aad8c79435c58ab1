using Xunit.Abstractions;

namespace OrleansMq.Tests.Simulation;

/// <summary>Looks for a seed whose run finds a mistake that was built in.</summary>
/// <param name="mostSeeds">After how many seeds without a find the checkers count as blind.</param>
/// <param name="seedsAtOnce">How many seeds run before it looks whether one of them found it.</param>
/// <param name="output">Told which seed found it, and what.</param>
internal sealed class MutantSearch(int mostSeeds, int seedsAtOnce, ITestOutputHelper output)
{
    /// <summary>Runs seeds from 0 on until one throws; fails where none does.</summary>
    /// <param name="mutant">The mistake.</param>
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
        Assert.Fail($"{mostSeeds} seeds ran with {mutant} and no checker found it.");
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
            // Also what the code under test asserts, and what it runs into.
            return exception.Message;
        }
    }
}
