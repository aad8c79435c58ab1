using System.Globalization;
using OrleansMq.Tests.Benchmarks.Peers.Brokers;
using OrleansMq.Tests.Benchmarks.Peers.Load;
using OrleansMq.Tests.Benchmarks.Peers.Works;

namespace OrleansMq.Tests.Benchmarks.Hostile;

/// <summary>What hostile clients of several kinds cost a producer that behaves well, and how much memory the broker takes
/// meanwhile.</summary>
internal static class HostileCommand
{
    private const string Topic = "good", LargeTopic = "large";
    private const int OtherFiles = 2_000;
    // The broker closes nobody within that time, and its memory is what the clients hold.
    private static readonly TimeSpan Settle = TimeSpan.FromSeconds(3);

    public static async Task<int> RunAsync(CommandArguments arguments)
    {
        var (seconds, rate) = (arguments.Number("--seconds", 15), arguments.Number("--rate", 2_000));
        var connections = arguments.Number("--connections", 10_000);
        var program = arguments.Text("--broker")
            ?? Path.GetFullPath(Path.Combine(AppContext.BaseDirectory, "../../OrleansMq.Silo/release/OrleansMq.Silo.dll"));
        if (OpenFiles.Limit() is var limit && limit < connections + OtherFiles)
            throw new FormatException($"{connections} connections need as many open files, but the limit is {limit}: "
                + "raise 'ulimit -Hn', or lower --connections.");
        var directory = arguments.Directory("hostile");
        try
        {
            await using var broker = await new OrleansMqBroker("OrleansMq", program, "").StartAsync(new BrokerSettings(), directory,
                CancellationToken.None);
            // What readers ask for: 200 MB.
            LoadRun.Run(new LoadOptions { IsProduce = true, Bootstrap = broker.Endpoint, Topic = LargeTopic, Partitions = 4,
                RecordBytes = 1_000, BatchBytes = 256 << 10, Records = 200_000 });
            var good = new LoadOptions { IsProduce = true, Bootstrap = broker.Endpoint, Topic = Topic, RecordBytes = 1_000,
                BatchBytes = 1_000, Acks = -1, Rate = rate, Records = (long)rate * seconds, WarmRecords = rate };
            Console.WriteLine($"A producer sends {rate:N0} records of 1 KB a second, acks=all, one in a request, for {seconds} s each; "
                + $"{Environment.ProcessorCount} processors, hostile clients and producer in one process.");
            Console.WriteLine("| hostile clients | p50 ms | p99 ms | p99.9 ms | MB before | MB at most | MB afterwards |");
            Console.WriteLine("|---|---|---|---|---|---|---|");
            Measure(broker, good, "none", static _ => { });
            Measure(broker, good, $"{connections:N0} idle connections", clients => clients.Open(connections, []));
            Measure(broker, good, "1,000 that send 1 MB of 100 MB", static clients => clients.OpenHalfFrames(1_000, 1 << 20));
            Measure(broker, good, "200 that never read ten fetches of 50 MB",
                static clients => clients.OpenReaders(200, Fetch(version: 10), isSlow: false));
            Measure(broker, good, "200 that read 10 KB/s of them", static clients => clients.OpenReaders(200, Fetch(10), isSlow: true));
            Measure(broker, good, "200 that never read, of version 4", static clients => clients.OpenReaders(200, Fetch(4), isSlow: false));
            Measure(broker, good, "500 a second that connect and break off", static clients => clients.Churn(500));
            Measure(broker, good, "none again", static _ => { });
            return 0;
        }
        finally
        {
            Directory.Delete(directory, recursive: true);
        }
    }

    private static void Measure(RunningBroker broker, LoadOptions good, string name, Action<HostileClients> attack)
    {
        var before = ProcessFigures.Memory(broker.Processes);
        var most = before;
        LoadResult result;
        using (var clients = new HostileClients(broker.Endpoint))
        {
            attack(clients);
            using (new Timer(_ => most = Math.Max(most, ProcessFigures.Memory(broker.Processes)), null, TimeSpan.Zero,
                TimeSpan.FromMilliseconds(200)))
                result = LoadRun.Run(good);
        }
        Thread.Sleep(Settle);
        var after = ProcessFigures.Memory(broker.Processes);
        Console.WriteLine(string.Create(CultureInfo.InvariantCulture, $"| {name} | {result.Latency.P50:F2} | {result.Latency.P99:F2} | "
            + $"{result.Latency.P999:F2} | {before / 1e6:F0} | {most / 1e6:F0} | {after / 1e6:F0} |"));
    }

    // No client id, as a consumer, no wait, 50 MB in all and of each of four partitions, from the first offset. Before version 10 the
    // broker looks at the records, and has them in memory.
    private static byte[] Fetch(byte version)
    {
        var isNew = version == 10;
        byte[] unknown = [0xFF, 0xFF, 0xFF, 0xFF];
        byte[] fifty = [3, 0x20, 0, 0];
        var body = new List<byte>([0, 1, 0, version, 0, 0, 0, 1, 0xFF, 0xFF, .. unknown, 0, 0, 0, 0, 0, 0, 0, 1, .. fifty, 0]);
        if (isNew)
            body.AddRange([0, 0, 0, 0, .. unknown]); // No session.
        body.AddRange([0, 0, 0, 1, 0, (byte)LargeTopic.Length, .. System.Text.Encoding.ASCII.GetBytes(LargeTopic), 0, 0, 0, 4]);
        for (byte partition = 0; partition < 4; partition++)
        {
            body.AddRange([0, 0, 0, partition, .. isNew ? unknown : [], 0, 0, 0, 0, 0, 0, 0, 0,
                .. isNew ? (byte[])[.. unknown, .. unknown] : [], .. fifty]);
        }
        if (isNew)
            body.AddRange([0, 0, 0, 0]); // Forgets no topic.
        return [0, 0, 0, (byte)body.Count, .. body];
    }
}
