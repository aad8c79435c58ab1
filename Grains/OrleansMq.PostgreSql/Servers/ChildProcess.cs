using System.Collections.Concurrent;
using System.Diagnostics;

namespace OrleansMq.PostgreSql.Servers;

/// <summary>
/// Starts servers that do not outlive this process, however it ends: on Linux the kernel sends them a signal when their parent is gone,
/// also after SIGKILL. They get a session of their own, so that a Ctrl-C at the terminal reaches this process alone, which ends them in its
/// order.
/// <para>Elsewhere, and where util-linux' setsid and setpriv are missing, they are started plainly.</para>
/// </summary>
internal static class ChildProcess
{
    private static readonly bool HasTools = OperatingSystem.IsLinux() && IsInPath("setsid") && IsInPath("setpriv");

    // What the kernel takes for the parent is the thread that forked: this one lives as long as the process. Pool threads come and go.
    private static readonly BlockingCollection<Action> Orders = [];

    static ChildProcess()
    {
        new Thread(() =>
        {
            foreach (var order in Orders.GetConsumingEnumerable())
                order();
        })
        { IsBackground = true, Name = "child processes" }.Start();
    }

    /// <summary>The words of a command line that asks the kernel for a signal when the parent ends. To stand after whatever changes the
    /// user, since that takes the request back.</summary>
    /// <param name="signal">Its name without SIG, such as <c>KILL</c>.</param>
    /// <param name="words">The program and its arguments.</param>
    public static IEnumerable<string> Tied(string signal, IEnumerable<string> words) =>
        HasTools ? ["setpriv", $"--pdeathsig={signal}", .. words] : words;

    /// <summary>Starts a program, whose command line holds <see cref="Tied"/>, in a session of its own. The process id is the program's:
    /// all that stands before it replaces itself by what follows.</summary>
    public static Process Start(ProcessStartInfo start)
    {
        if (HasTools)
        {
            start.ArgumentList.Insert(0, start.FileName);
            start.FileName = "setsid";
        }
        var started = new TaskCompletionSource<Process>(TaskCreationOptions.RunContinuationsAsynchronously);
        Orders.Add(() =>
        {
            try
            {
                started.SetResult(Process.Start(start)!);
            }
            catch (Exception e)
            {
                // Whoever asked gets it: this thread serves the next.
                started.SetException(e);
            }
        });
        return started.Task.GetAwaiter().GetResult();
    }

    private static bool IsInPath(string program) => (Environment.GetEnvironmentVariable("PATH") ?? "")
        .Split(Path.PathSeparator, StringSplitOptions.RemoveEmptyEntries).Any(directory => File.Exists(Path.Combine(directory, program)));
}
