using System.Globalization;
using OrleansMq.Tests.Benchmarks.Peers.Brokers;
using OrleansMq.Tests.Benchmarks.Peers.Load;

namespace OrleansMq.Tests.Benchmarks.Peers;

/// <summary>What transactions cost a producer that has none: it writes to partitions that never had a transaction, to those that know
/// producers of transactions, and to those that also have an open one, in turns, at one broker. The topics are new in each round.</summary>
internal static class BesideTransactions
{
    // What each producer commits before.
    private const int Transactions = 10;

    // The broker's maximum: the open transaction outlasts a run. Its abort fails where it did not.
    private static readonly TimeSpan OpenTimeout = TimeSpan.FromMinutes(15);
    private static readonly string[] Kinds = ["none", "ended", "open"];

    public static async Task<int> RunAsync(CommandArguments arguments)
    {
        var (rounds, producers) = (arguments.Number("--rounds", 6), arguments.Number("--producers", 100));
        var (records, size) = (arguments.Number("--records", 2_000_000), arguments.Number("--size", 100));
        var partitions = arguments.Number("--partitions", 4);
        if (rounds == 0)
            throw new FormatException("--rounds is 0; it may be 1 or more.");
        var program = arguments.Text("--broker")
            ?? Path.GetFullPath(Path.Combine(AppContext.BaseDirectory, "../../OrleansMq.Silo/release/OrleansMq.Silo.dll"));
        var directory = arguments.Directory("beside-transactions");
        try
        {
            await using var broker = await new OrleansMqBroker("OrleansMq", program, "").StartAsync(new BrokerSettings(), directory,
                CancellationToken.None);
            var results = Kinds.ToDictionary(static kind => kind, static _ => new List<LoadResult>());
            // The first round is a warm-up.
            for (var round = 0; round <= rounds; round++)
            {
                // Each kind is the first in some rounds, and the last in some.
                for (var turn = 0; turn < Kinds.Length; turn++)
                {
                    var kind = Kinds[(round + turn) % Kinds.Length];
                    var load = new LoadOptions
                    {
                        IsProduce = true,
                        Bootstrap = broker.Endpoint,
                        Topic = $"{kind}-{round}",
                        Partitions = partitions,
                        Connections = partitions,
                        Acks = -1,
                        RecordBytes = size,
                        Records = records,
                        WarmRecords = records / 4,
                        BrokerProcesses = broker.AllProcesses,
                    };
                    var result = Measure(load, kind, producers);
                    if (round == 0)
                        continue;
                    results[kind].Add(result);
                    Console.WriteLine($"round {round}, {kind}: {result.ToLine()}");
                }
            }
            Print(results, producers);
            return 0;
        }
        finally
        {
            Directory.Delete(directory, recursive: true);
        }
    }

    private static LoadResult Measure(LoadOptions load, string kind, int producers)
    {
        if (kind == "none")
            return LoadRun.Run(load);
        var options = new TransactionOptions
        {
            Bootstrap = load.Bootstrap,
            Topic = load.Topic,
            Partitions = load.Partitions,
            InTransaction = load.Partitions,
            Producers = producers,
            Transactions = producers * Transactions,
            Timeout = OpenTimeout,
        };
        TransactionLoad.Run(options);
        if (kind == "ended")
            return LoadRun.Run(load);
        var batch = ProduceTemplate.Batch(options.RecordBytes, options.BatchBytes, CompressionType.None,
            DateTimeOffset.UtcNow.ToUnixTimeMilliseconds(), out var recordsInBatch);
        using var open = new TransactionConnection(options, 0, batch, recordsInBatch);
        open.Open();
        var result = LoadRun.Run(load);
        open.Abort();
        return result;
    }

    private static void Print(Dictionary<string, List<LoadResult>> results, int producers)
    {
        var plain = results["none"];
        Console.WriteLine($"| transactions of {producers} producers in the partitions | records/s | beside none | broker CPU s/million | "
            + "beside none | p99 ms |");
        Console.WriteLine("|---|---|---|---|---|---|");
        foreach (var kind in Kinds)
        {
            var own = results[kind];
            double[] rates = [.. own.Zip(plain, static (one, other) => one.RecordsPerSecond / other.RecordsPerSecond)];
            double[] costs = [.. own.Zip(plain, static (one, other) =>
                one.BrokerCpuSecondsPerMillion!.Value / other.BrokerCpuSecondsPerMillion!.Value)];
            Console.WriteLine(string.Create(CultureInfo.InvariantCulture,
                $"| {kind} | {Statistics.Median(own.Select(static one => one.RecordsPerSecond)):N0} | {Ratio(rates)} | "
                + $"{Statistics.Median(own.Select(static one => one.BrokerCpuSecondsPerMillion!.Value)):0.000} | {Ratio(costs)} | "
                + $"{Statistics.Median(own.Select(static one => one.Latency.P99)):0.00} |"));
        }
    }

    // Of the rounds, since the machine differs more between rounds than within one.
    private static string Ratio(double[] rounds) => string.Create(CultureInfo.InvariantCulture,
        $"{Statistics.Median(rounds):0.00} ({rounds.Min():0.00}-{rounds.Max():0.00})");
}
