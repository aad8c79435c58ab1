using System.Net;
using OrleansMq.Tests.Benchmarks.Peers.Brokers;
using OrleansMq.Tests.Benchmarks.Peers.Load;
using OrleansMq.Tests.Benchmarks.Peers.Results;

namespace OrleansMq.Tests.Benchmarks.Peers.Works;

/// <summary>Many connections whose clients are idle after their first request: their cost, and the latency of a producer beside
/// them.</summary>
/// <param name="connections">The number of connections; 0 shows the cost of the broker alone.</param>
/// <param name="beside">The load beside them; null for none.</param>
internal sealed class IdleConnectionsWork(int connections, LoadOptions? beside) : IWork
{
    private static readonly TimeSpan Settle = TimeSpan.FromSeconds(3);
    private static readonly TimeSpan Watched = TimeSpan.FromSeconds(10);

    // A broker may limit the connections of one address, so they come from many addresses, as from many clients. On Linux all of
    // 127.0.0.0/8 is local.
    private const int ConnectionsPerAddress = 500;

    // The files of a .NET program besides the connections.
    private const int OtherFiles = 500;

    public BrokerSettings Settings { get; } = new();

    public string? Lacks => OpenFiles.Limit() is var limit && limit < connections + OtherFiles
        ? $"{connections} connections need as many open files, but the limit is {limit}: raise 'ulimit -Hn'" : null;

    public async Task<IReadOnlyList<Measurement>> RunAsync(RunningBroker broker, double scale, CancellationToken cancellationToken)
    {
        var idle = new List<WireConnection>();
        try
        {
            await Task.Delay(Settle, cancellationToken);
            var memory = ProcessFigures.Memory(broker.Processes);
            var hello = new WireWriter(ApiVersion.ApiVersions).Build();
            for (var i = 0; i < connections; i++)
            {
                cancellationToken.ThrowIfCancellationRequested();
                var connection = WireConnection.Open(broker.Endpoint, 1 << 10,
                    new IPAddress([127, 0, 1, (byte)(1 + (i / ConnectionsPerAddress))]));
                idle.Add(connection);
                connection.AskAndForget(hello);
            }
            await Task.Delay(Settle, cancellationToken);
            var processes = broker.AllProcesses;
            var cpu = ProcessorTime.Of(processes);
            await Task.Delay(Watched, cancellationToken);
            var figures = new Dictionary<Figure, double> { [Figure.IdleCpuPercent] =
                100 * (ProcessorTime.Of(processes) - cpu) / Watched.TotalSeconds };
            if (connections > 0)
                figures[Figure.KilobytesPerConnection] = (ProcessFigures.Memory(broker.Processes) - memory) / 1e3 / connections;
            List<Measurement> measurements =
                [new Measurement(connections > 0 ? $"{connections:N0} idle connections" : "nobody there", figures)];
            if (beside is not null)
            {
                var load = beside.Scaled(scale) with { Bootstrap = broker.Endpoint, BrokerProcesses = processes };
                measurements.Add(LoadMeasurement.Of("produce beside them",
                    await Task.Run(() => LoadRun.Run(load, cancellationToken), CancellationToken.None)));
            }
            if (idle.Count(connection => connection.IsClosed) is > 0 and var closed)
                throw new LoadFailedException($"{closed} of {connections} idle connections were closed by the broker.");
            return measurements;
        }
        finally
        {
            idle.ForEach(connection => connection.Dispose());
        }
    }
}
