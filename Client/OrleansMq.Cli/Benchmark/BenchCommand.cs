using System.CommandLine;
using OrleansMq.Cli.CommandLine;
using OrleansMq.Cli.Records;
using OrleansMq.Cli.Terminal;

namespace OrleansMq.Cli.Benchmark;

/// <summary><c>omq bench produce|consume|both</c>: measures throughput and latency of a broker.</summary>
internal static class BenchCommand
{
    private static readonly (BenchMode Mode, string Description)[] Modes =
    [
        (BenchMode.Produce, "Measures sending: latency is from the send to the acknowledgement of each record."),
        (BenchMode.Consume, "Measures reading records that were sent before: latency is that of each wait for the next records."),
        (BenchMode.Both,
            "Measures sending and reading at the same time: latency also from the send of each record to its arrival."),
    ];

    /// <summary>Creates the command.</summary>
    public static Command Create()
    {
        var bench = new OmqCommand("bench", "Measures throughput and latency of a broker, beside a raw sequential write of the same bytes.",
            "omq bench produce", "omq bench both --records 200000 --record-size 1000 --partitions 4 --rate 20000 --json");
        foreach (var (mode, description) in Modes)
            bench.Add(Create(mode, description));
        return bench;
    }

    private static OmqCommand Create(BenchMode mode, string description)
    {
        var name = mode.ToString().ToLowerInvariant();
        var records = Number<long>("--records", "The number of measured records, after a warm-up of a tenth as many.", 1_000_000, 1);
        var recordSize = Number<int>("--record-size", "Bytes of each value.", 100, BenchRun.MinRecordSize);
        var partitions = Number<int>("--partitions", "Partitions of the topic.", 1, 1);
        var batchSize = Number<int>("--batch-size", "Bytes at which a batch is sent; also the size of each raw write.", 64 << 10,
            1024);
        var rate = Number<long>("--rate", "Records per second; 0 for no limit, with the latencies of a full queue.", 0, 0);
        var flush = new Option<string>("--flush") { Description = "The flush policy of the benchmark's own broker.",
            HelpName = "none|interval|sync", DefaultValueFactory = _ => "none" };
        flush.AcceptOnlyFromAmong("none", "interval", "sync");
        var (acks, compression) = (RecordOptions.Acks(), RecordOptions.Compression());
        var command = new OmqCommand(name, description, $"omq bench {name} --records 1000000 --record-size 100")
        {
            records, recordSize, partitions, acks, compression, batchSize, rate, flush,
        };
        var server = ServerOption.AddTo(command);
        server.Option.Description =
            "The broker to measure; by default one is started for the run, on a free port and in a temporary directory.";
        var json = JsonOption.AddTo(command);
        command.SetAction(async (parsed, cancellationToken) =>
        {
            var settings = new BenchSettings(parsed.GetValue(records), parsed.GetValue(recordSize), parsed.GetValue(partitions),
                parsed.GetRequiredValue(acks),
                parsed.GetRequiredValue(compression), parsed.GetValue(batchSize), parsed.GetValue(rate), parsed.GetRequiredValue(flush));
            var report = await BenchRun.RunAsync(mode, settings, server.IsGiven(parsed) ? server.Addresses(parsed) : null,
                cancellationToken).ConfigureAwait(false);
            if (parsed.GetValue(json))
                Output.WriteJson(report, BenchJson.Default.BenchReport);
            else
                Output.Write(report.ToTable());
        });
        return command;
    }

    private static Option<T> Number<T>(string name, string description, T standard, long least) where T : struct, IConvertible =>
        new Option<T>(name) { Description = description, HelpName = "N", DefaultValueFactory = _ => standard }.AtLeast(least);
}

/// <summary>What is measured.</summary>
internal enum BenchMode
{
    /// <summary>Unknown.</summary>
    Unknown = 0,
    /// <summary>Sending.</summary>
    Produce = 1,
    /// <summary>Reading records that were sent before.</summary>
    Consume = 2,
    /// <summary>Sending and reading at the same time.</summary>
    Both = 3,
}
