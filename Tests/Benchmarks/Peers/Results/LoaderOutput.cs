using System.Text.Json;
using OrleansMq.Tests.Benchmarks.Peers.Brokers;

namespace OrleansMq.Tests.Benchmarks.Peers.Results;

/// <summary>The final output of the peers' own load generators: one line of JSON with records, rate and latencies.</summary>
internal static class LoaderOutput
{
    /// <summary>Parses the output.</summary>
    /// <param name="output">The whole output.</param>
    /// <param name="records">The number of records acknowledged.</param>
    /// <exception cref="PeerFailedException">There is no such line, or calls failed.</exception>
    public static Dictionary<Figure, double> Read(string output, out long records)
    {
        var line = output.Split('\n').LastOrDefault(static line => line.StartsWith('{'))
            ?? throw new PeerFailedException($"The load generator printed no figures: {output}");
        using var json = JsonDocument.Parse(line);
        var root = json.RootElement;
        if (root.TryGetProperty("failedCalls", out var failed) && failed.GetInt64() > 0)
            throw new PeerFailedException($"{failed.GetInt64()} calls failed: {line}");
        records = root.GetProperty("records").GetInt64();
        return new Dictionary<Figure, double>
        {
            [Figure.RecordsPerSecond] = root.GetProperty("recordsPerSecond").GetDouble(),
            [Figure.MegabytesPerSecond] = root.GetProperty("mbPerSecond").GetDouble(),
            [Figure.P50] = root.GetProperty("p50Ms").GetDouble(),
            [Figure.P99] = root.GetProperty("p99Ms").GetDouble(),
            [Figure.P999] = root.GetProperty("p999Ms").GetDouble(),
        };
    }
}
