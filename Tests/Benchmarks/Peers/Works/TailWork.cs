using OrleansMq.Tests.Benchmarks.Peers.Brokers;
using OrleansMq.Tests.Benchmarks.Peers.Load;
using OrleansMq.Tests.Benchmarks.Peers.Results;

namespace OrleansMq.Tests.Benchmarks.Peers.Works;

/// <summary>Latency at a fixed rate, counted from when each request was due: at the same rate for both, or at half of each one's
/// maximum.</summary>
/// <param name="settings">The broker's settings.</param>
/// <param name="load">The load; its records are those of the measured rate.</param>
/// <param name="isHalfOfMaximum">Whether the rate is half of the maximum reached before in the same run, instead of that in
/// <paramref name="load"/>.</param>
internal sealed class TailWork(BrokerSettings settings, LoadOptions load, bool isHalfOfMaximum) : IWork
{
    private static readonly TimeSpan HalfTime = TimeSpan.FromSeconds(10);

    public BrokerSettings Settings { get; } = settings;

    public string? Lacks => null;

    public Task<IReadOnlyList<Measurement>> RunAsync(RunningBroker broker, double scale, CancellationToken cancellationToken) =>
        Task.Run<IReadOnlyList<Measurement>>(() =>
        {
            var run = load.Scaled(scale) with { Bootstrap = broker.Endpoint, BrokerProcesses = broker.AllProcesses };
            if (!isHalfOfMaximum)
                return [LoadMeasurement.Of($"at {load.Rate:N0}/s", LoadRun.Run(run, cancellationToken))];
            var most = LoadRun.Run(run with { Rate = 0 }, cancellationToken);
            var half = most.RecordsPerSecond / 2;
            var atHalf = LoadRun.Run(run with { Rate = half, WarmRecords = 0, Records = (long)(half * HalfTime.TotalSeconds * scale) },
                cancellationToken);
            return [LoadMeasurement.Of("at most", most), LoadMeasurement.Of("at half of its most", atHalf)];
        }, CancellationToken.None);
}
