using System.Diagnostics;
using System.Runtime.InteropServices;

namespace OrleansMq.Tests.Benchmarks.Peers.Load;

/// <summary>Hands out the requests of a run to any number of threads, each with its due time. At a fixed rate the due time depends only on
/// the request's number, however late earlier requests were sent, so that a request queued behind a slow answer counts as slow as
/// well.</summary>
internal sealed class Pace
{
    private readonly long _requests;
    private readonly double _ticksBetween;
    private readonly long _start = Stopwatch.GetTimestamp();
    private long _taken;

    /// <param name="requests">The number of requests.</param>
    /// <param name="requestsPerSecond">The rate; 0: each is due when it is taken.</param>
    public Pace(long requests, double requestsPerSecond)
    {
        _requests = requests;
        _ticksBetween = requestsPerSecond > 0 ? Stopwatch.Frequency / requestsPerSecond : 0;
    }

    /// <summary>Whether requests have fixed due times.</summary>
    public bool IsFixed => _ticksBetween > 0;

    /// <summary>Takes the next request.</summary>
    /// <param name="due">Its due time, as a <see cref="Stopwatch"/> timestamp.</param>
    /// <returns>False if all are taken.</returns>
    public bool TryTake(out long due)
    {
        var number = Interlocked.Increment(ref _taken) - 1;
        due = IsFixed ? _start + (long)(number * _ticksBetween) : Stopwatch.GetTimestamp();
        return number < _requests;
    }

    /// <summary>Stops handing out requests.</summary>
    public void Stop() => Interlocked.Exchange(ref _taken, _requests);

    /// <summary>Sleeps until a time, with a precision of some ten microseconds where the system supports it.</summary>
    public static void WaitUntil(long due)
    {
        for (var left = due - Stopwatch.GetTimestamp(); left > 0; left = due - Stopwatch.GetTimestamp())
        {
            var nanoseconds = (long)(left * (1e9 / Stopwatch.Frequency));
            if (OperatingSystem.IsLinux())
            {
                var time = new Timespec { Seconds = nanoseconds / 1_000_000_000, Nanoseconds = nanoseconds % 1_000_000_000 };
                _ = NanoSleep(in time, IntPtr.Zero);
            }
            else
            {
                Thread.Sleep((int)(nanoseconds / 1_000_000));
            }
        }
    }

    // .NET's sleeps count in milliseconds, which is the whole response time of a fast broker.
    [DllImport("libc", EntryPoint = "nanosleep")]
    private static extern int NanoSleep(in Timespec time, IntPtr left);

    private struct Timespec
    {
        public long Seconds;
        public long Nanoseconds;
    }
}
