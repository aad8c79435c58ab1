using System.Diagnostics;
using System.Globalization;
using System.Text.Json;
using OrleansMq.Client;
using OrleansMq.Topics;

namespace OrleansMq.Tests.Benchmarks.Peers.Brokers;

/// <summary>The OrleansMq program: one node as a standalone broker, three as a cluster of <c>omq cluster up</c>. The peer may be another
/// build of it.</summary>
/// <param name="name">The name in tables.</param>
/// <param name="program">The broker: a published executable, or <c>OrleansMq.Silo.dll</c>.</param>
/// <param name="clusterFolder">The folder <c>artifacts/cluster/bin</c> of a build with Orleans, for three nodes.</param>
internal sealed class OrleansMqBroker(string name, string program, string clusterFolder) : IBrokerUnderTest
{
    // The listener that clients use, as the ready line names it.
    private string _listener = "kafka";

    public string Name { get; } = name;

    /// <summary>The same broker for AMQP clients.</summary>
    public OrleansMqBroker OverAmqp() => new(Name, program, clusterFolder) { _listener = "amqp" };

    private string CommandLine { get; } = Path.Combine(clusterFolder, "OrleansMq.Cli", "release", "omq.dll");

    private string ClusterProgram { get; } = Path.Combine(clusterFolder, "OrleansMq.Silo", "release", "OrleansMq.Silo.dll");

    public string? Lacks(BrokerSettings settings) => settings.Nodes switch
    {
        1 => File.Exists(program) ? null : $"{program} does not exist: build Silo/OrleansMq.Silo in Release, or name another with --broker",
        _ => new[] { CommandLine, ClusterProgram }.FirstOrDefault(file => !File.Exists(file)) is { } missing
            ? $"{missing} does not exist, and three nodes need the build with Orleans: OMQ_ORLEANS=true ./omq --help builds it, or name "
            + "another with --cluster"
            : null,
    };

    public Task<RunningBroker> StartAsync(BrokerSettings settings, string directory, CancellationToken cancellationToken) =>
        settings.Nodes == 1
            ? StartOneAsync(settings, directory, cancellationToken)
            : StartClusterAsync(settings, directory, cancellationToken);

    private static string FlushFlag(BrokerSettings settings) => settings.Flush switch
    {
        FlushSetting.EveryAcknowledgement => "sync",
        FlushSetting.EverySecond => "interval",
        _ => "none",
    };

    private async Task<RunningBroker> StartOneAsync(BrokerSettings settings, string directory, CancellationToken cancellationToken)
    {
        string[] host = program.EndsWith(".dll", StringComparison.Ordinal) ? ["dotnet", program] : [program];
        var start = Stopwatch.GetTimestamp();
        var process = ChildProcess.Start([.. host, "--standalone", "--data", Path.Combine(directory, "data"), "--http", "127.0.0.1:0",
            "--kafka", _listener == "kafka" ? "127.0.0.1:0" : "off", "--amqp", _listener == "amqp" ? "127.0.0.1:0" : "off",
            "--flush", FlushFlag(settings), "--log-level", "warning"]);
        return await ReadyAsync(process, async () =>
        {
            var line = await process.LineAsync(line => line.StartsWith("ready ", StringComparison.Ordinal), cancellationToken);
            var endpoint = line.Split(' ').Single(word => word.StartsWith($"{_listener}=", StringComparison.Ordinal));
            return new Started(process) { Endpoint = endpoint[(_listener.Length + 1)..], Processes = [process.Id],
                StartTime = Stopwatch.GetElapsedTime(start), Directory = directory };
        });
    }

    private async Task<RunningBroker> StartClusterAsync(BrokerSettings settings, string directory, CancellationToken cancellationToken)
    {
        var start = Stopwatch.GetTimestamp();
        var process = ChildProcess.Start(["dotnet", CommandLine, "cluster", "up", "--silos",
            settings.Nodes.ToString(CultureInfo.InvariantCulture), "--data",
            Path.Combine(directory, "cluster"), "--json", .. _listener == "amqp" ? (string[])["--amqp"] : [],
            "--", "--flush", FlushFlag(settings), "--log-level", "warning"],
            new Dictionary<string, string> { ["OMQ_BROKER_DLL"] = ClusterProgram });
        return await ReadyAsync(process, async () =>
        {
            var brokers = new List<JsonElement>();
            while (brokers.Count < settings.Nodes)
            {
                var line =
                    JsonSerializer.Deserialize<JsonElement>(await process.LineAsync(line => line.StartsWith('{'), cancellationToken));
                if (line.TryGetProperty("brokerId", out _))
                    brokers.Add(line);
            }
            return new Cluster(process, brokers)
            {
                Endpoint = brokers[0].GetProperty(_listener).GetString()!,
                Processes = [.. brokers.Select(broker => broker.GetProperty("pid").GetInt32())],
                Companions = [process.Id], // and its child, the database
                StartTime = Stopwatch.GetElapsedTime(start),
                Directory = directory,
            };
        });
    }

    private static async Task<RunningBroker> ReadyAsync(ChildProcess process, Func<Task<RunningBroker>> ready)
    {
        try
        {
            return await ready();
        }
        catch
        {
            await process.DisposeAsync();
            throw;
        }
    }

    private class Started(ChildProcess process) : RunningBroker
    {
        public override ValueTask DisposeAsync() => process.DisposeAsync();
    }

    private sealed class Cluster(ChildProcess process, IReadOnlyList<JsonElement> brokers) : Started(process)
    {
        public override async Task<QueuePlace> FindQueueAsync(string queue, CancellationToken cancellationToken)
        {
            using var broker = new HttpBroker([.. brokers.Select(static line => new Uri(line.GetProperty("http").GetString()!))]);
            try
            {
                var topic = await broker.DescribeTopicAsync(QueueTopics.NameOf("/", queue), cancellationToken);
                var partition = topic.Partitions[0];
                return new QueuePlace(AmqpOf(partition.Leader), partition.InSyncReplicas.Count);
            }
            catch (BrokerException failure) when (failure.Code.Action() == ErrorAction.Retry
                || failure.Code == ErrorCode.UnknownTopicOrPartition)
            {
                return default; // It is created just now.
            }
        }

        private string? AmqpOf(int leader) => brokers.FirstOrDefault(line => line.GetProperty("brokerId").GetInt32() == leader)
            is { ValueKind: JsonValueKind.Object } found ? found.GetProperty("amqp").GetString() : null;
    }
}
