using OrleansMq.Queues;

namespace OrleansMq.Tests.Simulation.Queues;

/// <summary>Runs of the queue simulation.</summary>
internal static class QueueRuns
{
    public static SeedRuns<QueueFigures> Create(Action<FailedSeed>? failed = null) =>
        new("./omq sim --queues", (seed, trace) => new QueueSimulation(seed, CursorRules.Shipped) { Trace = trace }) { Failed = failed };
}
