namespace OrleansMq.Tests.Engine;

/// <summary>What code allocates.</summary>
internal static class Allocations
{
    private const int Rounds = 20;

    /// <summary>Returns the bytes that the current thread allocates while it runs an action, the least of some runs: the runtime itself
    /// allocates now and then, as it compiles a method again.</summary>
    public static long Of(Action action)
    {
        var least = long.MaxValue;
        for (var round = 0; round < Rounds; round++)
        {
            var before = GC.GetAllocatedBytesForCurrentThread();
            action();
            least = Math.Min(least, GC.GetAllocatedBytesForCurrentThread() - before);
        }
        return least;
    }
}
