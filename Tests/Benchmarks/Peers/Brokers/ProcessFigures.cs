using System.Globalization;
using OrleansMq.Tests.Benchmarks.Peers.Load;

namespace OrleansMq.Tests.Benchmarks.Peers.Brokers;

/// <summary>What Linux tells of processes that are not ours, and of the machine's memory.</summary>
internal static class ProcessFigures
{
    /// <summary>The most that each had in memory at once, summed up, in bytes.</summary>
    public static long PeakMemory(IEnumerable<int> processes) => processes.Sum(process => Status(process, "VmHWM"));

    /// <summary>What they have in memory now, in bytes.</summary>
    public static long Memory(IEnumerable<int> processes) => processes.Sum(process => Status(process, "VmRSS"));

    /// <summary>The same, but what several processes have in common, such as the code of a shared library, counts once.</summary>
    public static long MemoryOfItsOwn(IEnumerable<int> processes) =>
        processes.Sum(process => 1024 * Field($"/proc/{process}/smaps_rollup", "Pss"));

    /// <summary>Bytes that were fetched from a disk for them: what came out of the page cache is not among them.</summary>
    public static long DiskReads(IEnumerable<int> processes) => processes.Sum(process => Field($"/proc/{process}/io", "read_bytes"));

    /// <summary>Those processes and all that they started.</summary>
    public static IReadOnlyList<int> WithDescendants(IReadOnlyList<int> processes)
    {
        var children = Directory.GetDirectories("/proc").Select(path => int.TryParse(Path.GetFileName(path), out var process) ? process : 0)
            .Where(process => process > 0)
            .Select(process => (Process: process, Parent: ParentOf(process))).ToLookup(pair => pair.Parent, pair => pair.Process);
        var found = new List<int>(processes);
        for (var i = 0; i < found.Count; i++)
            found.AddRange(children[found[i]].Except(found));
        return found;
    }

    /// <summary>Bytes that a directory takes on its disk: what a file reserves and does not use (as Kafka's indexes do) takes
    /// none.</summary>
    public static async Task<long> DiskBytesAsync(string directory, CancellationToken cancellationToken)
    {
        var output = await ChildProcess.RunAsync(["du", "-s", "--block-size=1", directory], cancellationToken);
        return long.Parse(output.Text.Split('\t')[0], CultureInfo.InvariantCulture);
    }

    /// <summary>A line of <c>/proc/meminfo</c>, in bytes: <c>MemFree</c> is what no cache holds.</summary>
    public static long MachineMemory(string name) => 1024 * Field(File.ReadLines("/proc/meminfo"), name);

    /// <summary>The number of the line that begins with a name and a colon.</summary>
    internal static long Field(IEnumerable<string> lines, string name)
    {
        var line = lines.First(line => line.StartsWith(name + ":", StringComparison.Ordinal));
        return long.Parse(line[(name.Length + 1)..].Split(' ', '\t').First(word => word.Length > 0), CultureInfo.InvariantCulture);
    }

    private static long Status(int process, string name) => 1024 * Field($"/proc/{process}/status", name);

    private static long Field(string path, string name)
    {
        try
        {
            return Field(File.ReadLines(path), name);
        }
        catch (IOException)
        {
            throw new LoadFailedException($"{path} is gone: the process ended though nobody asked it to.");
        }
    }

    private static int ParentOf(int process)
    {
        try
        {
            var stat = File.ReadAllText($"/proc/{process}/stat");
            return int.Parse(stat[(stat.LastIndexOf(')') + 2)..].Split(' ')[1], CultureInfo.InvariantCulture);
        }
        catch (IOException)
        {
            return 0; // it ended meanwhile
        }
    }
}
