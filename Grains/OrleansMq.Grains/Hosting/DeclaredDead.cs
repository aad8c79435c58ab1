using OrleansMq.Diagnostics;

namespace OrleansMq.Grains.Hosting;

/// <summary>
/// Ends the process of a silo that its cluster has declared dead, or that cannot go on. It replaces Orleans' abort and stack trace by one
/// line and an exit code that tells a supervisor to restart. Nothing is closed: acknowledged records are on disk and on the other replicas,
/// as after a kill.
/// </summary>
/// <param name="log">Gets the line.</param>
/// <param name="exit">Ends the process; null for the real exit.</param>
internal sealed class DeclaredDead(EngineLog log, Action<int, string>? exit = null) : IFatalErrorHandler
{
    /// <summary>The exit code of the process.</summary>
    public const int ExitCode = 3;

    // How long an exit may be delayed, for example by a handler whose request waits for this silo. Then the process is killed.
    private static readonly TimeSpan Grace = TimeSpan.FromSeconds(3);

    private int _ended;

    /// <inheritdoc/>
    public bool IsUnexpected(Exception exception) => true;

    /// <inheritdoc/>
    public void OnFatalException(object? sender = null, string? context = null, Exception? exception = null)
    {
        if (context is not null && context.Contains("I am dead", StringComparison.Ordinal))
            End("this broker was declared dead by its cluster: it did not answer the others in time, or another process took its place");
        else
            End($"the silo cannot go on: {context} {exception?.Message}".TrimEnd(), exception);
    }

    /// <summary>Ends the process; only the first reason is logged.</summary>
    /// <param name="reason">The reason, without its consequences.</param>
    /// <param name="fault">Set if only a bug of ours or Orleans' explains it; null for an operator's action.</param>
    public void End(string reason, Exception? fault = null)
    {
        if (Interlocked.Exchange(ref _ended, 1) != 0)
            return;
        log.Write(EngineLogLevel.Error,
            $"{reason.ReplaceLineEndings(" ")}. The process ends with code {ExitCode}; started again, the broker rejoins.", fault);
        if (exit is not null)
        {
            exit(ExitCode, reason);
            return;
        }
        new Thread(static () =>
        {
            Thread.Sleep(Grace);
            System.Diagnostics.Process.GetCurrentProcess().Kill();
        })
        { IsBackground = true, Name = "omq-exit-guard" }.Start();
        // Not on the caller's thread, which may hold a resource that the exit waits for.
        new Thread(static () => Environment.Exit(ExitCode)) { IsBackground = true, Name = "omq-exit" }.Start();
    }
}
