using System.Runtime.CompilerServices;

namespace OrleansMq.Gateways.Connections.Loops;

/// <summary>Moves work from a loop's thread to the thread pool.</summary>
internal static class LoopExit
{
    /// <summary>Awaited, continues on the thread pool.</summary>
    public static ConfiguredTaskAwaitable Now => Task.CompletedTask.ConfigureAwait(ConfigureAwaitOptions.ForceYielding);
}
