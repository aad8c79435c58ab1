using System.Runtime.CompilerServices;

namespace OrleansMq.Gateways.Kafka.Connections.Loops;

/// <summary>The way from a loop's thread to the thread pool.</summary>
internal static class LoopExit
{
    /// <summary>Awaited, it has the rest run on the thread pool.</summary>
    public static ConfiguredTaskAwaitable Now => Task.CompletedTask.ConfigureAwait(ConfigureAwaitOptions.ForceYielding);
}
