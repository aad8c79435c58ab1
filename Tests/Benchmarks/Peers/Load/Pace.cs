using System.Diagnostics;
using System.Runtime.InteropServices;

namespace OrleansMq.Tests.Benchmarks.Peers.Load;

/// <summary>
/// Hands out the requests of a run, to any number of threads, each with the time at which it is due. At a fixed rate that time follows from
/// the request's number alone, however late the ones before it were sent: what waits behind a slow answer counts as slow too.
/// </summary>
internal sealed class Pace
{
    private readonly long _requests;
    private readonly double _ticksBetween;
    private readonly long _start = Stopwatch.GetTimestamp();
    private long _taken;

    /// <param name="requests">How many there are.</param>
    /// <param name="requestsPerSecond">0: each is due when it is taken.</param>
    public Pace(long requests, double requestsPerSecond)
    {
        _requests = requests;
        _ticksBetween = requestsPerSecond > 0 ? Stopwatch.Frequency / requestsPerSecond : 0;
    }

    /// <summary>Whether requests are due at times of their own.</summary>
    public bool IsFixed => _ticksBetween > 0;

    /// <summary>Takes the next request.</summary>
    /// <param name="due">When it is due, as a <see cref="Stopwatch"/> timestamp.</param>
    /// <returns>False where all are taken.</returns>
    public bool TryTake(out long due)
    {
        var number = Interlocked.Increment(ref _taken) - 1;
        due = IsFixed ? _start + (long)(number * _ticksBetween) : Stopwatch.GetTimestamp();
        return number < _requests;
    }

    /// <summary>Hands out no more.</summary>
    public void Stop() => Interlocked.Exchange(ref _taken, _requests);

    /// <summary>Sleeps until a time has come, to some ten microseconds where the system can.</summary>
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

    // .NET's own sleeps count in milliseconds: as much as a fast broker takes in all.
    [DllImport("libc", EntryPoint = "nanosleep")]
    private static extern int NanoSleep(in Timespec time, IntPtr left);

    private struct Timespec
    {
        public long Seconds;
        public long Nanoseconds;
    }
}
