using System.Text.Json;

namespace OrleansMq.Tests.Benchmarks.Peers.Results;

/// <summary>Results as JSON: every figure of every pair, and the ratios.</summary>
internal static class ResultJson
{
    public static string Write(DateTimeOffset when, string otherLoad, IEnumerable<ComparisonResult> results) => JsonSerializer.Serialize(new
    {
        When = when,
        OtherLoad = otherLoad,
        Processors = Environment.ProcessorCount,
        System = System.Runtime.InteropServices.RuntimeInformation.OSDescription,
        Comparisons = results.Select(result => new
        {
            result.Comparison.Name,
            result.Comparison.About,
            Ours = result.Comparison.Ours.Broker.Name,
            Theirs = result.Comparison.Theirs.Broker.Name,
            Pairs = result.Pairs.Select(pair => new { Ours = Side(pair.Ours), Theirs = Side(pair.Theirs) }),
            MedianRatios = result.Steps.ToDictionary(step => step,
                step => result.Figures().Where(figure => result.Ratios(step, figure).Count > 0)
                .ToDictionary(figure => figure.Name, figure => Statistics.Median(result.Ratios(step, figure)))),
            result.Failures,
        }),
    }, Options);

    private static readonly JsonSerializerOptions Options = new(JsonSerializerDefaults.Web) { WriteIndented = true };

    private static Dictionary<string, Dictionary<string, double>> Side(IReadOnlyList<Measurement> measurements) =>
        measurements.ToDictionary(
            measurement => measurement.Step, measurement => measurement.Figures.ToDictionary(pair => pair.Key.Name, pair => pair.Value));
}
