using OrleansMq.Tests.Benchmarks.Peers.Brokers;
using OrleansMq.Tests.Benchmarks.Peers.Load;
using OrleansMq.Tests.Benchmarks.Peers.Results;

namespace OrleansMq.Tests.Benchmarks.Peers.Works;

/// <summary>Produces over Kafka's protocol by replaying encoded requests.</summary>
/// <param name="settings">The broker's settings.</param>
/// <param name="load">The load, without endpoint and processes.</param>
internal sealed class ReplayWork(BrokerSettings settings, LoadOptions load) : IWork
{
    public BrokerSettings Settings { get; } = settings;

    public string? Lacks => null;

    public Task<IReadOnlyList<Measurement>> RunAsync(RunningBroker broker, double scale, CancellationToken cancellationToken) =>
        Task.Run<IReadOnlyList<Measurement>>(() =>
        [
            LoadMeasurement.Of("produce",
                LoadRun.Run(load.Scaled(scale) with { Bootstrap = broker.Endpoint, BrokerProcesses = broker.AllProcesses },
                    cancellationToken)),
        ], CancellationToken.None);
}

/// <summary>Converts the result of a load to figures.</summary>
internal static class LoadMeasurement
{
    public static Measurement Of(string step, LoadResult result, params (Figure Figure, double Value)[] more)
    {
        var figures = new Dictionary<Figure, double>
        {
            [Figure.RecordsPerSecond] = result.RecordsPerSecond,
            [Figure.MegabytesPerSecond] = result.MegabytesPerSecond,
            [Figure.P50] = result.Latency.P50,
            [Figure.P99] = result.Latency.P99,
            [Figure.P999] = result.Latency.P999,
        };
        if (result.BrokerCpuSecondsPerMillion is { } cpu)
            figures[Figure.CpuPerMillion] = cpu;
        foreach (var (figure, value) in more)
            figures[figure] = value;
        return new Measurement(step, figures);
    }
}
