using System.Globalization;

namespace OrleansMq.Tests.Benchmarks.Peers.Works;

/// <summary>The limit of open files of a process.</summary>
internal static class OpenFiles
{
    /// <summary>Returns the hard limit, to which .NET raises its own. There is no limit if the system does not report one.</summary>
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
