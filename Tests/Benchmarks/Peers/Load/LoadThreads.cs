using System.Runtime.ExceptionServices;

namespace OrleansMq.Tests.Benchmarks.Peers.Load;

/// <summary>A dedicated thread whose failure is rethrown on join.</summary>
internal sealed class LoadThread
{
    private readonly Thread _thread;
    private ExceptionDispatchInfo? _failure;

    internal LoadThread(Action work)
    {
        _thread = new Thread(() =>
        {
            try
            {
                work();
            }
            catch (Exception failure) // rethrown by Join
            {
                Volatile.Write(ref _failure, ExceptionDispatchInfo.Capture(failure));
            }
        })
        { IsBackground = true };
        _thread.Start();
    }

    public void ThrowIfFailed() => Volatile.Read(ref _failure)?.Throw();

    /// <summary>Waits for the thread's end and rethrows its failure.</summary>
    public void Join()
    {
        _thread.Join();
        ThrowIfFailed();
    }
}

internal static class LoadThreads
{
    public static LoadThread Start(Action work) => new(work);

    /// <summary>Runs each action in a thread of its own and throws the first failure.</summary>
    /// <param name="works">The concurrent actions.</param>
    /// <param name="giveUp">Ends the others when one failed.</param>
    public static void RunAll(IEnumerable<Action> works, Action giveUp)
    {
        var threads = works.Select(work => Start(() =>
        {
            try
            {
                work();
            }
            catch
            {
                giveUp();
                throw;
            }
        })).ToList();
        foreach (var thread in threads)
            thread.Join();
    }
}
