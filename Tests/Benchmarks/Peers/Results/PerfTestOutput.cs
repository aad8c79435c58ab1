using System.Globalization;
using System.Text.RegularExpressions;
using OrleansMq.Tests.Benchmarks.Peers.Brokers;

namespace OrleansMq.Tests.Benchmarks.Peers.Results;

/// <summary>Parses the output of RabbitMQ's load generator: a line a second, and a summary.</summary>
internal static partial class PerfTestOutput
{
    // The time until the generator's code is compiled and its connections and queue exist. The figures of these seconds are not the
    // broker's.
    private const double WarmUpSeconds = 3;

    /// <summary>Returns the confirmed messages a second after the warm-up, all confirmed messages, and the latency from publish to confirm
    /// in milliseconds.</summary>
    /// <param name="output">What it printed.</param>
    /// <param name="countsReceived">Whether received messages a second are returned instead.</param>
    /// <exception cref="PeerFailedException">There are no such lines: the generator failed, or ran too short.</exception>
    public static (double PerSecond, double Confirmed, double P50, double P99) Read(string output, bool countsReceived = false)
    {
        var (confirmed, counted, countedSeconds, before) = (0.0, 0.0, 0.0, 0.0);
        foreach (Match line in Interval().Matches(output))
        {
            var (time, rate) = (Number(line, "time"), Number(line, "confirmed"));
            confirmed += rate * (time - before);
            if (before >= WarmUpSeconds)
            {
                counted += (countsReceived ? Number(line, "received") : rate) * (time - before);
                countedSeconds += time - before;
            }
            before = time;
        }
        var latency = Confirms().Match(output);
        if (countedSeconds == 0 || !latency.Success)
            throw new PeerFailedException($"PerfTest printed no confirms after its first {WarmUpSeconds} s: {output}");
        return (counted / countedSeconds, confirmed, Number(latency, "median") / 1000, Number(latency, "p99") / 1000);
    }

    private static double Number(Match match, string group) => double.Parse(match.Groups[group].ValueSpan, CultureInfo.InvariantCulture);

    [GeneratedRegex(@"time (?<time>[0-9.]+) s,.*?confirmed: (?<confirmed>[0-9.]+) msg/s(?:.*?received: (?<received>[0-9.]+) msg/s)?")]
    private static partial Regex Interval();

    [GeneratedRegex(@"confirm latency min/median/75th/95th/99th [0-9]+/(?<median>[0-9]+)/[0-9]+/[0-9]+/(?<p99>[0-9]+) .?s\s*$")]
    private static partial Regex Confirms();
}
