using System.Diagnostics;
using OrleansMq.Tests.Shared;

namespace OrleansMq.Tests.Benchmarks.Peers.Brokers;

/// <summary>The daemon by which Erlang nodes find each other. The first node starts it, and it runs on when the nodes have ended: a broker
/// has a daemon of its own, on a port of its own, which ends with it.</summary>
internal sealed class ErlangDaemon
{
    // How long a process may take to end that was killed.
    private static readonly TimeSpan EndTime = TimeSpan.FromSeconds(5);

    private static readonly TimeSpan Patience = TimeSpan.FromMinutes(1);

    private readonly string _port = Words.Of(FreePort.Choose());

    /// <summary>The environment of the nodes and their tools.</summary>
    public IReadOnlyDictionary<string, string> Environment => new Dictionary<string, string> { ["ERL_EPMD_PORT"] = _port };

    /// <summary>Stops the nodes, kills those of their processes that remain, and ends the daemon.</summary>
    /// <param name="processes">The processes of the nodes.</param>
    /// <param name="stop">Stops the nodes in order.</param>
    public async Task EndAsync(IEnumerable<int> processes, Func<ValueTask> stop)
    {
        var found = processes.Select(Find).OfType<Process>().ToArray();
        await stop();
        foreach (var process in found)
            await EndAsync(process);
        // The daemon stays while it knows a node.
        for (var started = Stopwatch.GetTimestamp(); ;)
        {
            try
            {
                await ChildProcess.RunAsync(["epmd", "-port", _port, "-kill"], CancellationToken.None);
                return;
            }
            catch (PeerFailedException none) when (none.Message.Contains("Cannot connect", StringComparison.Ordinal))
            {
                return; // No node has started it.
            }
            catch (PeerFailedException) when (Stopwatch.GetElapsedTime(started) < Patience)
            {
                await Task.Delay(TimeSpan.FromMilliseconds(500));
            }
        }
    }

    private static Process? Find(int id)
    {
        try
        {
            return Process.GetProcessById(id);
        }
        catch (ArgumentException)
        {
            return null; // It has ended.
        }
    }

    private static async Task EndAsync(Process process)
    {
        using (process)
        {
            try
            {
                process.Kill();
            }
            catch (InvalidOperationException)
            {
                // It has ended.
            }
            // One that its new parent never asks about seems to run for ever.
            using var limit = new CancellationTokenSource(EndTime);
            await process.WaitForExitAsync(limit.Token).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        }
    }
}
