using System.Globalization;

namespace OrleansMq.Tests.Benchmarks.Peers.Works;

/// <summary>How many files a process may have open.</summary>
internal static class OpenFiles
{
    /// <summary>The hard limit, to which .NET raises its own; without a limit where the system does not say.</summary>
    public static long Limit()
    {
        if (!File.Exists("/proc/self/limits"))
            return long.MaxValue;
        // Max open files            20000                20000                files
        var words = File.ReadLines("/proc/self/limits").First(line => line.StartsWith("Max open files", StringComparison.Ordinal))
            .Split(' ', StringSplitOptions.RemoveEmptyEntries);
        return long.TryParse(words[^2], NumberStyles.None, CultureInfo.InvariantCulture, out var limit) ? limit : long.MaxValue;
    }
}
