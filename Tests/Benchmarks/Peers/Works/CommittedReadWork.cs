using OrleansMq.Tests.Benchmarks.Peers.Brokers;
using OrleansMq.Tests.Benchmarks.Peers.Load;
using OrleansMq.Tests.Benchmarks.Peers.Results;

namespace OrleansMq.Tests.Benchmarks.Peers.Works;

/// <summary>Fills a topic in transactions, some of them aborted, and reads what was committed, from the page cache. Records are not
/// decoded.</summary>
/// <param name="fill">The transactions.</param>
/// <param name="passes">The number of passes, after one that is not counted.</param>
internal sealed class CommittedReadWork(TransactionOptions fill, int passes) : IWork
{
    private const int Connections = 4;

    public BrokerSettings Settings { get; } = new();

    public string? Lacks => null;

    public Task<IReadOnlyList<Measurement>> RunAsync(RunningBroker broker, double scale, CancellationToken cancellationToken) =>
        Task.Run<IReadOnlyList<Measurement>>(() =>
        {
            var filled = TransactionLoad.Run(fill.Scaled(scale) with { Bootstrap = broker.Endpoint, WarmTransactions = 0 },
                cancellationToken);
            var result = LoadRun.Run(new LoadOptions
            {
                IsProduce = false,
                Bootstrap = broker.Endpoint,
                Topic = fill.Topic,
                Partitions = fill.Partitions,
                Connections = Connections,
                BrokerProcesses = broker.AllProcesses,
                WarmRecords = filled.Records,
                Records = filled.Records * passes,
                IsCommitted = true,
            }, cancellationToken);
            return [LoadMeasurement.Of("consume what was committed", result)];
        }, CancellationToken.None);
}
