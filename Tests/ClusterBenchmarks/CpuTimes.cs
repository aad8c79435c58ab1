using System.Diagnostics;
using System.Globalization;
using OrleansMq.Tests.Chaos.Running;

namespace OrleansMq.Tests.ClusterBenchmarks;

/// <summary>Processor time of a cluster from here on: of the brokers that run at the end, and of the database. A broker that ends meanwhile
/// takes its time along. On machines that have <c>/proc</c>.</summary>
internal sealed class CpuTimes(LocalCluster cluster)
{
    private const double TicksPerSecond = 100;

    private readonly Dictionary<int, double> _brokers =
        cluster.Silos.ToDictionary(silo => silo.ProcessId, silo => OfProcess(silo.ProcessId));
    private readonly double _database = OfServer(cluster.Database.ProcessId);

    /// <summary>Describes the time since.</summary>
    public string Since()
    {
        var brokers = cluster.Silos.Sum(silo => OfProcess(silo.ProcessId) - _brokers.GetValueOrDefault(silo.ProcessId));
        return string.Create(CultureInfo.InvariantCulture,
            $"processor time {brokers:0.0} s of the brokers, {OfServer(cluster.Database.ProcessId) - _database:0.0} s of PostgreSQL");
    }

    private static double OfProcess(int process) => Times(process).Own;

    // Of a server and its processes, including those that have ended.
    private static double OfServer(int server) => Times(server) is var times
        ? times.Own + times.Ended + Process.GetProcesses().Where(other => ParentOf(other.Id) == server).Sum(other => OfServer(other.Id))
        : 0;

    private static int ParentOf(int process) => Fields(process) is { } fields ? int.Parse(fields[1], CultureInfo.InvariantCulture) : 0;

    private static (double Own, double Ended) Times(int process) => Fields(process) is { } fields
        ? ((Ticks(fields[11]) + Ticks(fields[12])) / TicksPerSecond, (Ticks(fields[13]) + Ticks(fields[14])) / TicksPerSecond)
        : (0, 0);

    private static double Ticks(string field) => double.Parse(field, CultureInfo.InvariantCulture);

    // Those after the program's name, which is in parentheses.
    private static string[]? Fields(int process)
    {
        try
        {
            var line = File.ReadAllText($"/proc/{process}/stat");
            return line[(line.LastIndexOf(')') + 2)..].Split(' ');
        }
        catch (Exception ended) when (ended is IOException or UnauthorizedAccessException)
        {
            return null;
        }
    }
}
