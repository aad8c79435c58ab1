using OrleansMq.Diagnostics;

namespace OrleansMq.Grains.Hosting;

/// <summary>
/// Ends the process of a silo that its cluster has declared dead (or that cannot go on at all), instead of Orleans' abort with a stack
/// trace: one line, and an exit code by which a supervisor knows that a restart helps. Nothing is closed: what is acknowledged is on disk
/// and at the other replicas, as after a kill.
/// </summary>
/// <param name="log">Where the line goes.</param>
/// <param name="exit">Ends the process; null for the real way.</param>
public sealed class DeclaredDead(EngineLog log, Action<int, string>? exit = null) : IFatalErrorHandler
{
    /// <summary>The process' exit code.</summary>
    public const int ExitCode = 3;

    // Whoever holds up an exit (a handler that waits for a request that waits for this silo) gets so long.
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

    /// <summary>Ends the process; the first reason is the one that is told.</summary>
    /// <param name="reason">Why, without what follows from it.</param>
    /// <param name="fault">What only a bug of ours or Orleans' explains; null for what an operator does.</param>
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
        // Not on the caller's thread, which may hold what the exit waits for.
        new Thread(static () => Environment.Exit(ExitCode)) { IsBackground = true, Name = "omq-exit" }.Start();
    }
}
