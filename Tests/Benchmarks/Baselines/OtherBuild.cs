using System.Diagnostics;

namespace OrleansMq.Tests.Benchmarks.Baselines;

/// <summary>Runs another build of this program in a process of its own, so that two builds can alternate under the same
/// conditions.</summary>
internal static class OtherBuild
{
    public static BenchmarkRun Measure(string assembly, string filter)
    {
        var target = Path.Combine(Path.GetTempPath(), $"omq-baseline-{Guid.NewGuid():N}.json");
        try
        {
            // The child shares the terminal's Ctrl-C, so nothing is left running.
            using var process = Process.Start(new ProcessStartInfo(Environment.ProcessPath!,
                [.. Host(), assembly, "baseline", "--measure", target, "--filter", filter]) { RedirectStandardOutput = true })
                ?? throw new InvalidOperationException($"{assembly} could not be started");
            process.StandardOutput.ReadToEnd();
            process.WaitForExit();
            return process.ExitCode == 0 ? BenchmarkRun.Read(target)
                : throw new InvalidOperationException($"{assembly} ended with exit code {process.ExitCode}");
        }
        finally
        {
            File.Delete(target);
        }

        // If this process was started through its own executable, it is no 'dotnet' that takes an assembly; then the one on the PATH is
        // used.
        static string[] Host() => Path.GetFileNameWithoutExtension(Environment.ProcessPath) == "dotnet"
            ? ["exec"] : throw new InvalidOperationException(
            "Start it through 'dotnet OrleansMq.Tests.Benchmarks.dll' or Tests/Benchmarks/worse, so that the other build can be run the "
            + "same way.");
    }
}
