using System.Text.Json;

namespace OrleansMq.Tests.Benchmarks.Baselines;

/// <summary>All micro-benchmarks of one run, with the machine's speed: the content of a baseline file.</summary>
/// <param name="Machine">Processor and runtime, for the reader.</param>
/// <param name="CalibrationNanoseconds">The time of <see cref="Calibration"/>, by which runs of machines of different speed are
/// compared.</param>
/// <param name="Results">The results, by name.</param>
internal sealed record BenchmarkRun(string Machine, double CalibrationNanoseconds, IReadOnlyList<BenchmarkResult> Results)
{
    private static readonly JsonSerializerOptions Options = new() { WriteIndented = true,
        PropertyNamingPolicy = JsonNamingPolicy.CamelCase };

    public static BenchmarkRun Read(string path)
    {
        try
        {
            return JsonSerializer.Deserialize<BenchmarkRun>(File.ReadAllText(path), Options)
                ?? throw new InvalidDataException($"{path}: the content is 'null'");
        }
        catch (JsonException e)
        {
            throw new InvalidDataException($"{path}: not a run of benchmarks: {e.Message} Write a new one with: baseline --write", e);
        }
    }

    public void Write(string path) => File.WriteAllText(path, JsonSerializer.Serialize(this, Options) + "\n");

    /// <summary>Merges the iterations of both runs for each benchmark. Of two calibrations the faster counts, since the slower one was
    /// disturbed.</summary>
    public BenchmarkRun Join(BenchmarkRun again)
    {
        var byName = again.Results.ToDictionary(r => r.Name);
        return new BenchmarkRun(Machine, Math.Min(CalibrationNanoseconds, again.CalibrationNanoseconds),
            [.. Results.Select(r => byName.TryGetValue(r.Name, out var other) ? r.Join(other) : r)]);
    }
}
