using System.Globalization;
using System.Text.RegularExpressions;

namespace OrleansMq.Tests.Benchmarks.Peers.Results;

/// <summary>Parses the output of Kafka's performance tools.</summary>
internal static partial class KafkaToolOutput
{
    /// <summary>Parses the producer's last line, the total of the run or of its part after the warm-up. Returns null if it is something
    /// else.</summary>
    public static Dictionary<Figure, double>? Producer(string output, int recordBytes)
    {
        var sums = ProducerSum().Matches(output);
        if (sums.Count == 0)
            return null;
        var sum = sums[^1];
        return new Dictionary<Figure, double>
        {
            [Figure.RecordsPerSecond] = Number(sum, "rate"),
            [Figure.MegabytesPerSecond] = Number(sum, "rate") * recordBytes / 1e6,
            [Figure.Mean] = Number(sum, "mean"),
            [Figure.P50] = Number(sum, "p50"),
            [Figure.P99] = Number(sum, "p99"),
            [Figure.P999] = Number(sum, "p999"),
        };
    }

    /// <summary>Parses the consumer's line below its headings: its figures since it joined the group. Returns null if there is
    /// none.</summary>
    public static Dictionary<Figure, double>? Consumer(string output) => FindBelowHeadings(output) is not { } values ? null : new()
    {
        [Figure.RecordsPerSecond] = double.Parse(values["fetch.nMsg.sec"], CultureInfo.InvariantCulture),
        [Figure.MegabytesPerSecond] = double.Parse(values["fetch.MB.sec"], CultureInfo.InvariantCulture) * 1.048576,
        [Figure.JoinMs] = double.Parse(values["rebalance.time.ms"], CultureInfo.InvariantCulture),
    };

    /// <summary>Parses the line of the share consumers together, below its headings: the time until they have joined is in it. Returns null
    /// if there is none.</summary>
    public static Dictionary<Figure, double>? ShareConsumer(string output) => FindBelowHeadings(output) is not { } values ? null : new()
    {
        [Figure.RecordsPerSecond] = double.Parse(values["nMsg.sec"], CultureInfo.InvariantCulture),
        [Figure.MegabytesPerSecond] = double.Parse(values["MB.sec"], CultureInfo.InvariantCulture) * 1.048576,
    };

    private static Dictionary<string, string>? FindBelowHeadings(string output)
    {
        var lines = output.Split('\n', StringSplitOptions.TrimEntries | StringSplitOptions.RemoveEmptyEntries);
        var at = Array.FindIndex(lines, line => line.StartsWith("start.time", StringComparison.Ordinal));
        return at < 0 || at + 1 >= lines.Length ? null
            : lines[at].Split(", ").Zip(lines[at + 1].Split(", ")).ToDictionary(pair => pair.First, pair => pair.Second);
    }

    /// <summary>Parses the last lines of EndToEndLatency: whole milliseconds, except for the mean. Returns null if there are
    /// none.</summary>
    public static Dictionary<Figure, double>? EndToEnd(string output)
    {
        if (Mean().Match(output) is not { Success: true } mean || Percentiles().Match(output) is not { Success: true } percentiles)
            return null;
        return new Dictionary<Figure, double>
        {
            [Figure.Mean] = Number(mean, "mean"),
            [Figure.P50] = Number(percentiles, "p50"),
            [Figure.P99] = Number(percentiles, "p99"),
            [Figure.P999] = Number(percentiles, "p999"),
        };
    }

    private static double Number(Match match, string group) => double.Parse(match.Groups[group].Value, CultureInfo.InvariantCulture);

    [GeneratedRegex(@"records sent, (?<rate>[\d.]+) records/sec.* (?<mean>[\d.]+) ms avg latency.* "
        + @"(?<p50>\d+) ms 50th, \d+ ms 95th, (?<p99>\d+) ms 99th, (?<p999>\d+) ms 99\.9th")]
    private static partial Regex ProducerSum();

    [GeneratedRegex(@"^Avg latency: (?<mean>[\d.]+) ms", RegexOptions.Multiline)]
    private static partial Regex Mean();

    [GeneratedRegex(@"^Percentiles: 50th = (?<p50>\d+), 99th = (?<p99>\d+), 99\.9th = (?<p999>\d+)", RegexOptions.Multiline)]
    private static partial Regex Percentiles();
}
