using System.Diagnostics;

namespace OrleansMq.Tests.Benchmarks;

/// <summary>Starts this program again, so that a measurement has a process of its own.</summary>
internal static class OwnProcess
{
    /// <summary>Runs the program with arguments to its end, and returns the lines of its output.</summary>
    /// <exception cref="InvalidOperationException">It failed.</exception>
    public static async Task<string[]> RunAsync(params string[] arguments)
    {
        // Either the program's own executable runs, or the dotnet command with the assembly as an argument.
        var isOwnHost = !Path.GetFileNameWithoutExtension(Environment.ProcessPath!).Equals("dotnet", StringComparison.OrdinalIgnoreCase);
        var start = new ProcessStartInfo(Environment.ProcessPath!, isOwnHost
            ? arguments : [typeof(OwnProcess).Assembly.Location, .. arguments]) { RedirectStandardOutput = true };
        using var process = Process.Start(start)!;
        var lines = (await process.StandardOutput.ReadToEndAsync()).Split('\n', StringSplitOptions.RemoveEmptyEntries);
        await process.WaitForExitAsync();
        return process.ExitCode == 0 ? lines : throw new InvalidOperationException($"A process ended with code {process.ExitCode}.");
    }
}
