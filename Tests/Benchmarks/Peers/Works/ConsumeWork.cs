using OrleansMq.Tests.Benchmarks.Peers.Brokers;
using OrleansMq.Tests.Benchmarks.Peers.Load;
using OrleansMq.Tests.Benchmarks.Peers.Results;

namespace OrleansMq.Tests.Benchmarks.Peers.Works;

/// <summary>Fills a topic and reads it: repeatedly from the page cache, then once from a cold disk. Records are not decoded.</summary>
/// <param name="load">The load that fills the topic; reads use equally many connections.</param>
/// <param name="passes">The number of passes from the cache, after one that is not counted.</param>
internal sealed class ConsumeWork(LoadOptions load, int passes) : IWork
{
    public BrokerSettings Settings { get; } = new();

    public string? Lacks => OperatingSystem.IsLinux() ? null : "only Linux lets a program make files cold";

    public Task<IReadOnlyList<Measurement>> RunAsync(RunningBroker broker, double scale, CancellationToken cancellationToken) =>
        Task.Run<IReadOnlyList<Measurement>>(() =>
        {
            var fill = load.Scaled(scale) with { Bootstrap = broker.Endpoint, BrokerProcesses = broker.AllProcesses };
            var filled = LoadRun.Run(fill with { WarmRecords = 0 }, cancellationToken);
            var read = fill with { IsProduce = false };
            var cached = Read("consume from cache", read with { WarmRecords = filled.Records, Records = filled.Records * passes });
            PageCache.Drop(broker.Directory);
            var cold = Read("consume from cold disk", read with { WarmRecords = 0, Records = 0 });
            return [cached, cold];

            Measurement Read(string step, LoadOptions options)
            {
                var before = ProcessFigures.DiskReads(broker.Processes);
                var result = LoadRun.Run(options, cancellationToken);
                return LoadMeasurement.Of(step, result, (Figure.DiskReads, (ProcessFigures.DiskReads(broker.Processes) - before) / 1e6));
            }
        }, CancellationToken.None);
}
