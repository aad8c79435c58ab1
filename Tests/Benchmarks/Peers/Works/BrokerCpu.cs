using OrleansMq.Tests.Benchmarks.Peers.Brokers;
using OrleansMq.Tests.Benchmarks.Peers.Load;
using OrleansMq.Tests.Benchmarks.Peers.Results;

namespace OrleansMq.Tests.Benchmarks.Peers.Works;

/// <summary>The broker's processor time during the run of a third-party client.</summary>
internal static class BrokerCpu
{
    /// <summary>Runs the client, and adds the processor time of a million records to its figures.</summary>
    public static async Task<Dictionary<Figure, double>> OfAsync(RunningBroker broker, long records,
        Func<Task<Dictionary<Figure, double>>> run)
    {
        var processes = broker.AllProcesses;
        var before = ProcessorTime.Of(processes);
        var figures = await run();
        figures[Figure.CpuPerMillion] = (ProcessorTime.Of(processes) - before) / (records / 1e6);
        return figures;
    }
}
