using System.Globalization;

namespace OrleansMq.Tests.Benchmarks.Peers;

/// <summary>What Linux says of the machine's memory.</summary>
internal static class MemoryInfo
{
    /// <summary>A line of <c>/proc/meminfo</c>, in bytes: <c>MemFree:</c> is what no cache holds.</summary>
    public static long Read(string name) => Read(File.ReadAllText("/proc/meminfo"), name);

    internal static long Read(string text, string name)
    {
        var line = text.Split('\n').First(line => line.StartsWith(name, StringComparison.Ordinal));
        return long.Parse(line.Split(' ', StringSplitOptions.RemoveEmptyEntries)[1], CultureInfo.InvariantCulture) << 10;
    }
}
