using System.Globalization;

namespace OrleansMq.Tests.Benchmarks.Peers.Load;

/// <summary>The processor time of other processes, on Linux.</summary>
internal static class ProcessorTime
{
    // The kernel reports hundredths of a second (USER_HZ) on every Linux that .NET supports.
    private const double TicksPerSecond = 100;

    /// <summary>Returns the seconds in user and kernel mode of all threads of the processes, live and ended.</summary>
    /// <exception cref="LoadFailedException">One of the processes does not run.</exception>
    public static double Of(IEnumerable<int> processes) => processes.Sum(Of);

    private static double Of(int process)
    {
        try
        {
            return Parse(File.ReadAllText($"/proc/{process}/stat"));
        }
        catch (Exception missing) when (missing is FileNotFoundException or DirectoryNotFoundException or IOException)
        {
            throw new LoadFailedException($"Process {process} does not run: its processor time is unknown.");
        }
    }

    /// <summary>Parses user and kernel time from a line of <c>/proc/PID/stat</c>: the 14th and 15th field. The second field is a name in
    /// brackets that may contain any character.</summary>
    internal static double Parse(string stat)
    {
        var fields = stat[(stat.LastIndexOf(')') + 2)..].Split(' ');
        return (long.Parse(fields[11], CultureInfo.InvariantCulture)
            + long.Parse(fields[12], CultureInfo.InvariantCulture)) / TicksPerSecond;
    }
}
