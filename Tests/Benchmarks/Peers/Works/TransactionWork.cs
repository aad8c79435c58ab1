using OrleansMq.Tests.Benchmarks.Peers.Brokers;
using OrleansMq.Tests.Benchmarks.Peers.Load;
using OrleansMq.Tests.Benchmarks.Peers.Results;

namespace OrleansMq.Tests.Benchmarks.Peers.Works;

/// <summary>Transactions over Kafka's protocol.</summary>
/// <param name="load">The load, without endpoint and processes.</param>
internal sealed class TransactionWork(TransactionOptions load) : IWork
{
    public BrokerSettings Settings { get; } = new();

    public string? Lacks => null;

    public Task<IReadOnlyList<Measurement>> RunAsync(RunningBroker broker, double scale, CancellationToken cancellationToken) =>
        Task.Run<IReadOnlyList<Measurement>>(() =>
        {
            var result = TransactionLoad.Run(load.Scaled(scale) with { Bootstrap = broker.Endpoint, BrokerProcesses = broker.AllProcesses },
                cancellationToken);
            return
            [
                new Measurement("end of a transaction", new Dictionary<Figure, double>
                {
                    [Figure.TransactionsPerSecond] = result.PerSecond,
                    [Figure.P50] = result.End.P50,
                    [Figure.P99] = result.End.P99,
                    [Figure.P999] = result.End.P999,
                    [Figure.CpuPerTransaction] = 1e3 * result.BrokerCpuSeconds!.Value / result.Transactions,
                }),
                new Measurement("whole transaction", new Dictionary<Figure, double>
                {
                    [Figure.P50] = result.Whole.P50, [Figure.P99] = result.Whole.P99, [Figure.P999] = result.Whole.P999,
                }),
            ];
        }, CancellationToken.None);
}
