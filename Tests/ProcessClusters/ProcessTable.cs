using System.Runtime.InteropServices;

namespace OrleansMq.Tests.ProcessClusters;

/// <summary>The processes of this machine, by process id.</summary>
internal static class ProcessTable
{
    private static readonly TimeSpan Patience = TimeSpan.FromMinutes(2);

    /// <summary>Sends a signal.</summary>
    public static void Signal(int process, int signal) => Assert.Equal(0, kill(process, signal));

    /// <summary>Whether the process runs. A zombie does not count.</summary>
    public static bool Runs(int process)
    {
        try
        {
            var stat = File.ReadAllText($"/proc/{process}/stat");
            return stat[(stat.LastIndexOf(')') + 2)..][0] is not ('Z' or 'X');
        }
        catch (IOException)
        {
            return false;
        }
    }

    /// <summary>Waits until none of the processes runs.</summary>
    public static async Task AwaitEndAsync(IEnumerable<int> processes)
    {
        var left = processes.ToList();
        using var deadline = new CancellationTokenSource(Patience);
        while (left.RemoveAll(process => !Runs(process)) >= 0 && left.Count > 0)
        {
            Assert.False(deadline.IsCancellationRequested, $"Processes {string.Join(", ", left)} still run.");
            await Task.Delay(20, CancellationToken.None);
        }
    }

#pragma warning disable IDE1006, SYSLIB1054 // The C library's own name; numbers need no generated marshalling.
    [DllImport("libc")]
    private static extern int kill(int processId, int signal);
#pragma warning restore IDE1006, SYSLIB1054
}
