using System.Globalization;
using System.Text.Json;
using System.Text.Json.Serialization;
using OrleansMq.Cli.Terminal;
using Spectre.Console;
using Spectre.Console.Rendering;

namespace OrleansMq.Cli.Benchmark;

/// <summary>The result of one direction of a benchmark.</summary>
/// <param name="Name"><c>produce</c>, <c>consume</c> or <c>end-to-end</c>.</param>
/// <param name="Records">The number of records.</param>
/// <param name="Bytes">The bytes of their values.</param>
/// <param name="Seconds">The time from the first record to the last.</param>
/// <param name="RecordsPerSecond">The throughput in records.</param>
/// <param name="MegabytesPerSecond">The throughput in units of 1,000,000 bytes of values.</param>
/// <param name="LatencyOf">What the latency measures.</param>
/// <param name="LatencyMs">The latencies in milliseconds.</param>
internal sealed record BenchPhase(string Name, long Records, long Bytes, double Seconds, double RecordsPerSecond, double MegabytesPerSecond,
    string LatencyOf, Latency LatencyMs)
{
    /// <summary>Creates a phase from counts and times.</summary>
    public static BenchPhase Of(string name, long records, long bytes, TimeSpan time, string latencyOf, LatencyHistogram latencies)
    {
        var seconds = Math.Max(time.TotalSeconds, 1e-9);
        return new BenchPhase(name, records, bytes, seconds, records / seconds, bytes / 1e6 / seconds, latencyOf, latencies.Summarize());
    }
}

/// <summary>The result of a benchmark.</summary>
/// <param name="Mode"><c>produce</c>, <c>consume</c> or <c>both</c>.</param>
/// <param name="Server">The measured broker.</param>
/// <param name="PrivateBroker">Whether it was started for this run.</param>
/// <param name="Settings">The settings of the run.</param>
/// <param name="Phases">The results.</param>
/// <param name="RawWrite">The same bytes written to the disk without a broker.</param>
internal sealed record BenchReport(string Mode, string Server, bool PrivateBroker, BenchSettings Settings, IReadOnlyList<BenchPhase> Phases,
    RawWriteResult RawWrite)
{
    /// <summary>Formats the report as a table.</summary>
    public IRenderable ToTable()
    {
        var table = Output.NewTable("", "RECORDS/S", "MB/S", "P50 MS", "P95 MS", "P99 MS", "P99.9 MS", "MAX MS", "LATENCY OF");
        foreach (var phase in Phases)
        {
            var latency = phase.LatencyMs;
            table.AddRow(Cells(phase.Name, Number(phase.RecordsPerSecond, "N0"), Number(phase.MegabytesPerSecond, "N1"),
                Number(latency.P50, "N2"),
                Number(latency.P95, "N2"), Number(latency.P99, "N2"), Number(latency.P999, "N2"), Number(latency.Max, "N2"),
                phase.LatencyOf));
        }
        table.AddRow(Cells("raw write", "", Number(RawWrite.MegabytesPerSecond, "N1"), "", "", "", "", "", ""));
        var flushed = RawWrite.Bytes / 1e6 / Math.Max(RawWrite.FlushedSeconds, 1e-9);
        table.AddRow(Cells("raw write, flushed", "", Number(flushed, "N1"), "", "", "", "", "", ""));
        return new Rows(new Text($"{Settings.Describe()}\n"), table);
    }

    private static IEnumerable<IRenderable> Cells(params string[] cells) => cells.Select(cell => new Text(cell));

    private static string Number(double number, string format) => number.ToString(format, CultureInfo.InvariantCulture);
}

/// <summary>The settings of a benchmark.</summary>
/// <param name="Records">The number of records.</param>
/// <param name="RecordSize">Bytes of each value.</param>
/// <param name="Partitions">Partitions of the topic.</param>
/// <param name="Acks"><c>all</c>, <c>replicated</c>, <c>1</c> or <c>0</c>.</param>
/// <param name="Compression">The codec's name.</param>
/// <param name="BatchSize">Bytes at which a batch is sent.</param>
/// <param name="Rate">Records per second; 0 for no limit.</param>
/// <param name="Flush">The flush policy of the private broker.</param>
internal sealed record BenchSettings(long Records, int RecordSize, int Partitions, string Acks, string Compression, int BatchSize,
    long Rate, string Flush)
{
    /// <summary>The bytes of all values.</summary>
    [JsonIgnore]
    public long TotalBytes => Records * RecordSize;

    /// <summary>Describes the settings in one line.</summary>
    public string Describe() => string.Create(CultureInfo.InvariantCulture,
        $"{Records:N0} records of {RecordSize} bytes, {Partitions} partition{(Partitions == 1 ? "" : "s")}, acks {Acks}, compression "
        + $"{Compression}, batches of {BatchSize} bytes{(Rate > 0 ? $", {Rate:N0} records/s" : "")}");
}

/// <summary>The JSON of a report.</summary>
[JsonSourceGenerationOptions(JsonSerializerDefaults.Web)]
[JsonSerializable(typeof(BenchReport))]
internal sealed partial class BenchJson : JsonSerializerContext;
