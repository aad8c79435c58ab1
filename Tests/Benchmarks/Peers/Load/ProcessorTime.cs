using System.Globalization;

namespace OrleansMq.Tests.Benchmarks.Peers.Load;

/// <summary>Processor time as Linux counts it, for processes that are not ours.</summary>
internal static class ProcessorTime
{
    // What the kernel shows is in hundredths of a second on every Linux that .NET runs on (USER_HZ).
    private const double TicksPerSecond = 100;

    /// <summary>Seconds in user and kernel mode of all threads of those processes, living and ended ones.</summary>
    /// <exception cref="LoadFailedException">One of them does not run.</exception>
    public static double Of(IEnumerable<int> processes) => processes.Sum(Of);

    private static double Of(int process)
    {
        try
        {
            return Parse(File.ReadAllText($"/proc/{process}/stat"));
        }
        catch (Exception missing) when (missing is FileNotFoundException or DirectoryNotFoundException or IOException)
        {
            throw new LoadFailedException($"Process {process} does not run (any more): its processor time is not known.");
        }
    }

    /// <summary>Reads user and kernel time from a line of <c>/proc/PID/stat</c>: the 14th and 15th field, where the second is a name in
    /// brackets that may hold anything.</summary>
    internal static double Parse(string stat)
    {
        var fields = stat[(stat.LastIndexOf(')') + 2)..].Split(' ');
        return (long.Parse(fields[11], CultureInfo.InvariantCulture)
            + long.Parse(fields[12], CultureInfo.InvariantCulture)) / TicksPerSecond;
    }
}
