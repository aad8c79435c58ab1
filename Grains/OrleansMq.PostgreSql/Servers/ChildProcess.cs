using System.Collections.Concurrent;
using System.Diagnostics;

namespace OrleansMq.PostgreSql.Servers;

/// <summary>
/// Starts servers that end with this process. On Linux the kernel signals them when their parent ends, even by SIGKILL. They have a session
/// of their own, so that Ctrl-C in the terminal reaches only this process, which then stops them in order.
/// <para>Elsewhere, and without util-linux' setsid and setpriv, they are started as ordinary processes.</para>
/// </summary>
internal static class ChildProcess
{
    private static readonly bool HasTools = OperatingSystem.IsLinux() && IsInPath("setsid") && IsInPath("setpriv");

    // The kernel regards the forking thread as the parent. So this thread forks, since it lives as long as the process; pool threads come
    // and go.
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

    /// <summary>Returns a command line that asks the kernel for a signal when the parent ends. It must follow any change of the user, which
    /// would cancel the request.</summary>
    /// <param name="signal">The signal's name without SIG, such as <c>KILL</c>.</param>
    /// <param name="words">The program and its arguments.</param>
    public static IEnumerable<string> Tied(string signal, IEnumerable<string> words) =>
        HasTools ? ["setpriv", $"--pdeathsig={signal}", .. words] : words;

    /// <summary>Starts a program, with <see cref="Tied"/> in its command line, in a session of its own. The process id is the program's,
    /// since each preceding command replaces itself by the next.</summary>
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
                // The exception goes to the caller; this thread serves the next request.
                started.SetException(e);
            }
        });
        return started.Task.GetAwaiter().GetResult();
    }

    private static bool IsInPath(string program) => (Environment.GetEnvironmentVariable("PATH") ?? "")
        .Split(Path.PathSeparator, StringSplitOptions.RemoveEmptyEntries).Any(directory => File.Exists(Path.Combine(directory, program)));
}
