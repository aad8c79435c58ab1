using System.Runtime.InteropServices;
using BenchmarkDotNet.Columns;
using BenchmarkDotNet.Configs;
using BenchmarkDotNet.Diagnosers;
using BenchmarkDotNet.Jobs;
using BenchmarkDotNet.Loggers;
using BenchmarkDotNet.Reports;
using BenchmarkDotNet.Running;
using BenchmarkDotNet.Toolchains.InProcess.Emit;
using Perfolizer.Horology;

namespace OrleansMq.Tests.Benchmarks.Baselines;

/// <summary>Runs this assembly's BenchmarkDotNet benchmarks once, in this process, and collects their results.</summary>
internal static class MicroBenchmarks
{
    /// <param name="filter">A part of the names to run; empty for all.</param>
    public static BenchmarkRun Run(string filter)
    {
        var calibration = Calibration.Measure();
        var results = new List<BenchmarkResult>();
        foreach (var type in typeof(MicroBenchmarks).Assembly.GetTypes().Where(t => t.Name.EndsWith("Benchmarks", StringComparison.Ordinal))
            .OrderBy(t => t.Name))
        {
            var all = BenchmarkConverter.TypeToBenchmarks(type, new QuietConfig());
            var chosen = all.BenchmarksCases.Where(c => NameOf(c).Contains(filter, StringComparison.OrdinalIgnoreCase)).ToArray();
            if (chosen.Length == 0)
                continue;
            var summary = BenchmarkRunner.Run(new BenchmarkRunInfo(chosen, type, all.Config));
            results.AddRange(summary.Reports.Select(Take));
        }
        // The faster calibration of start and end, since other programs may have slowed one of them.
        return new BenchmarkRun($"{Environment.ProcessorCount} processors, {RuntimeInformation.ProcessArchitecture}, "
            + $"{RuntimeInformation.FrameworkDescription}",
            Math.Min(calibration, Calibration.Measure()), results);
    }

    private static BenchmarkResult Take(BenchmarkReport report)
    {
        var name = NameOf(report.BenchmarkCase);
        if (report.ResultStatistics is not { } statistics)
            throw new InvalidOperationException($"{name} failed. Run it alone: --filter "
                + $"'*{report.BenchmarkCase.Descriptor.WorkloadMethod.Name}*'");
        return new BenchmarkResult(name, [.. statistics.OriginalValues.Select(v => Math.Round(v, 3))],
            report.GcStats.GetBytesAllocatedPerOperation(report.BenchmarkCase) ?? 0);
    }

    private static string NameOf(BenchmarkCase benchmark)
    {
        var parameters = string.Join(", ", benchmark.Parameters.Items.Select(p => $"{p.Name}: {p.Value}"));
        return $"{benchmark.Descriptor.Type.Name}.{benchmark.Descriptor.WorkloadMethod.Name}"
            + (parameters.Length == 0 ? "" : $"({parameters})");
    }

    /// <summary>Many short iterations: disturbances of some of them lie outside the middle half, and all benchmarks take about a minute.
    /// Warm-ups last until the runtime has fully optimized the code, which it starts 0.1 s after the first call.</summary>
    private sealed class QuietConfig : ManualConfig
    {
        public QuietConfig()
        {
            AddJob(Job.Default.WithToolchain(InProcessEmitToolchain.Instance).WithWarmupCount(40).WithIterationCount(25)
                .WithIterationTime(TimeInterval.FromMilliseconds(25)));
            AddDiagnoser(MemoryDiagnoser.Default);
            AddColumnProvider(DefaultColumnProviders.Instance);
            AddLogger(NullLogger.Instance);
            WithArtifactsPath(Path.Combine(Environment.CurrentDirectory, "artifacts", "benchmarks"));
        }
    }
}
