using System.Runtime.CompilerServices;
using System.Text.Json;
using OrleansMq.Tests.Benchmarks.Peers.Brokers;
using OrleansMq.Tests.Benchmarks.Peers.Load;
using OrleansMq.Tests.Benchmarks.Peers.Results;

namespace OrleansMq.Tests.Benchmarks.Peers.Works;

/// <summary>One consumer group with many members, each a librdkafka client: the time until all have joined, and the read of a filled
/// topic.</summary>
/// <param name="load">The load that fills the topic.</param>
/// <param name="members">The number of members.</param>
internal sealed class GroupWork(LoadOptions load, int members) : IWork
{
    private static readonly Lazy<string?> Python = new(FindPython);

    public BrokerSettings Settings { get; } = new();

    public string? Lacks =>
        Python.Value is null
        ? "no Python on the path has the module confluent_kafka: install Debian's python3-confluent-kafka, or the wheel beside the peers"
        : null;

    public async Task<IReadOnlyList<Measurement>> RunAsync(RunningBroker broker, double scale, CancellationToken cancellationToken)
    {
        var filled = await Task.Run(() => LoadRun.Run(load.Scaled(scale) with { Bootstrap = broker.Endpoint, WarmRecords = 0 },
            cancellationToken), CancellationToken.None);
        await RunGroupAsync("warm", 2);
        var (join, read) = await RunGroupAsync("counted", members);
        return [join, read];

        async Task<(Measurement Join, Measurement Read)> RunGroupAsync(string group, int size)
        {
            await using var program =
                ChildProcess.Start([Python.Value!, Script(), broker.Endpoint, load.Topic, group, $"{size}", $"{filled.Records}"]);
            var joined = JsonSerializer.Deserialize<JsonElement>(await program.LineAsync(line => line.StartsWith('{'), cancellationToken));
            var consumed = await BrokerCpu.OfAsync(broker, filled.Records, async () =>
            {
                await program.WriteLineAsync("go", cancellationToken);
                var line =
                    JsonSerializer.Deserialize<JsonElement>(await program.LineAsync(line => line.StartsWith('{'), cancellationToken));
                var rate = line.GetProperty("records").GetInt64() / line.GetProperty("seconds").GetDouble();
                return new Dictionary<Figure, double> { [Figure.RecordsPerSecond] = rate,
                    [Figure.MegabytesPerSecond] = rate * load.RecordBytes / 1e6 };
            });
            return (new Measurement($"{size} members join",
                new Dictionary<Figure, double> { [Figure.JoinMs] = joined.GetProperty("joinMs").GetDouble() }),
                new Measurement("they read", consumed));
        }
    }

    private static string Script([CallerFilePath] string path = "") =>
        Path.Combine(Path.GetDirectoryName(path)!, "..", "Clients", "group.py");

    private static string? FindPython() => new[] { "python3", "/usr/bin/python3", "python3.11" }.FirstOrDefault(python =>
        {
        try
        {
            ChildProcess.RunAsync([python, "-c", "import confluent_kafka"], CancellationToken.None).GetAwaiter().GetResult();
            return true;
        }
        catch (PeerFailedException)
        {
            return false;
        }
    });
}
