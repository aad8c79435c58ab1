using OrleansMq.Tests.Benchmarks.Amqp;
using OrleansMq.Tests.Benchmarks.Peers.Brokers;
using OrleansMq.Tests.Benchmarks.Peers.Results;

namespace OrleansMq.Tests.Benchmarks.Peers.Works;

/// <summary>Loads a broker over AMQP like <see cref="PerfTestWork"/>, from this process, which takes a small part of the processors:
/// persistent messages, publisher confirms, one quorum queue. Its first seconds are not counted. The broker's processor time is that of the
/// counted time.</summary>
/// <param name="connections">The number of connections that publish.</param>
/// <param name="unconfirmed">The window of each.</param>
/// <param name="recordBytes">The size of a message.</param>
/// <param name="consumers">The consumers that acknowledge each message. With some, received messages are counted.</param>
/// <param name="nodes">The nodes of the broker. Of several, all connections go to the one that leads the queue.</param>
internal sealed class AmqpLoadWork(int connections, int unconfirmed, int recordBytes, int consumers = 0, int nodes = 1) : IWork
{
    private const string Queue = "load";
    private const int WarmUpUnconfirmed = 500;

    private static readonly TimeSpan Time = TimeSpan.FromSeconds(12);
    private static readonly TimeSpan LeastTime = TimeSpan.FromSeconds(3);
    private static readonly TimeSpan SettleTime = TimeSpan.FromSeconds(3);

    // Before, with a consumer, which keeps the queue short. A program that compiles while it runs has compiled what it needs then.
    private static readonly TimeSpan WarmUpTime = TimeSpan.FromSeconds(20);

    public BrokerSettings Settings => new(nodes, FlushSetting.EveryAcknowledgement);

    public string? Lacks => null;

    public async Task<IReadOnlyList<Measurement>> RunAsync(RunningBroker broker, double scale, CancellationToken cancellationToken)
    {
        var load = new AmqpLoadOptions
        {
            Endpoint = await AmqpQueues.DeclareAsync(broker, Queue, quorum: true, nodes, cancellationToken),
            Queue = Queue,
            Publishers = connections,
            Window = unconfirmed,
            Consumers = consumers,
            MessageBytes = recordBytes,
            WarmUp = SettleTime,
            Counted = Time * scale > LeastTime ? Time * scale : LeastTime,
            BrokerProcesses = broker.AllProcesses,
        };
        return await Task.Run<IReadOnlyList<Measurement>>(() =>
        {
            AmqpLoad.Run(load with
            {
                Window = WarmUpUnconfirmed, Consumers = Math.Max(consumers, 1), WarmUp = TimeSpan.Zero, Counted = WarmUpTime,
            }, cancellationToken);
            var result = AmqpLoad.Run(load, cancellationToken);
            return [LoadMeasurement.Of(consumers > 0 ? "produce and consume" : "produce", result,
                (Figure.ClientCpuPerMillion, result.GeneratorCpuSeconds / (result.Records / 1e6)))];
        }, CancellationToken.None);
    }
}
