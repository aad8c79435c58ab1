using System.Text.Json;

namespace OrleansMq.Tests.Benchmarks.Baselines;

/// <summary>All micro-benchmarks of one run, with what the machine did in it: what a baseline file holds.</summary>
/// <param name="Machine">Processor and runtime, for the reader.</param>
/// <param name="CalibrationNanoseconds">What <see cref="Calibration"/> took, by which runs on machines of other speed are compared.</param>
/// <param name="Results">By name.</param>
internal sealed record BenchmarkRun(string Machine, double CalibrationNanoseconds, IReadOnlyList<BenchmarkResult> Results)
{
    private static readonly JsonSerializerOptions Options = new() { WriteIndented = true,
        PropertyNamingPolicy = JsonNamingPolicy.CamelCase };

    public static BenchmarkRun Read(string path)
    {
        try
        {
            return JsonSerializer.Deserialize<BenchmarkRun>(File.ReadAllText(path), Options)
                ?? throw new InvalidDataException($"{path}: it says 'null'");
        }
        catch (JsonException e)
        {
            throw new InvalidDataException($"{path}: not a run of benchmarks: {e.Message} Write a new one with: baseline --write", e);
        }
    }

    public void Write(string path) => File.WriteAllText(path, JsonSerializer.Serialize(this, Options) + "\n");

    /// <summary>Both runs' iterations of each benchmark; the slower calibration of a moment counts as little as the slower
    /// iterations.</summary>
    public BenchmarkRun Join(BenchmarkRun again)
    {
        var byName = again.Results.ToDictionary(r => r.Name);
        return new BenchmarkRun(Machine, Math.Min(CalibrationNanoseconds, again.CalibrationNanoseconds),
            [.. Results.Select(r => byName.TryGetValue(r.Name, out var other) ? r.Join(other) : r)]);
    }
}
