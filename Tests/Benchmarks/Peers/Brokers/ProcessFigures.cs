using System.Globalization;
using OrleansMq.Tests.Benchmarks.Peers.Load;

namespace OrleansMq.Tests.Benchmarks.Peers.Brokers;

/// <summary>Linux figures of other processes, and of the machine's memory.</summary>
internal static class ProcessFigures
{
    /// <summary>Returns the sum of the peak memory of each process, in bytes.</summary>
    public static long PeakMemory(IEnumerable<int> processes) => processes.Sum(process => Status(process, "VmHWM"));

    /// <summary>Returns the current memory of the processes, in bytes.</summary>
    public static long Memory(IEnumerable<int> processes) => processes.Sum(process => Status(process, "VmRSS"));

    /// <summary>Returns the same, but counts memory shared by several processes, such as library code, once.</summary>
    public static long MemoryOfItsOwn(IEnumerable<int> processes) =>
        processes.Sum(process => 1024 * Field($"/proc/{process}/smaps_rollup", "Pss"));

    /// <summary>Returns the bytes read from disk for the processes, without those from the page cache.</summary>
    public static long DiskReads(IEnumerable<int> processes) => processes.Sum(process => Field($"/proc/{process}/io", "read_bytes"));

    /// <summary>Returns the bytes that the processes have written to disk, or will have.</summary>
    public static long DiskWrites(IEnumerable<int> processes) => processes.Sum(process => Field($"/proc/{process}/io", "write_bytes"));

    /// <summary>Returns the processes and all their descendants.</summary>
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

    /// <summary>Returns the bytes that a directory occupies on disk. Space that is reserved but unused (as in Kafka's indexes) does not
    /// count.</summary>
    public static async Task<long> DiskBytesAsync(string directory, CancellationToken cancellationToken)
    {
        var output = await ChildProcess.RunAsync(["du", "-s", "--block-size=1", directory], cancellationToken);
        return long.Parse(output.Text.Split('\t')[0], CultureInfo.InvariantCulture);
    }

    /// <summary>Returns a line of <c>/proc/meminfo</c>, in bytes; <c>MemFree</c> excludes caches.</summary>
    public static long MachineMemory(string name) => 1024 * Field(File.ReadLines("/proc/meminfo"), name);

    /// <summary>Returns the number in the line that starts with a name and a colon.</summary>
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
            throw new LoadFailedException($"{path} is gone: the process ended unexpectedly.");
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
            return 0; // the process ended
        }
    }
}
