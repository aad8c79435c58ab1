using System.Diagnostics;
using System.Numerics;

namespace OrleansMq.Cli.Benchmark;

/// <summary>
/// Counts latencies in buckets whose width grows with the value. Any percentile is accurate to 1%, and nothing is allocated while
/// measuring. Thread-safe.
/// </summary>
internal sealed class LatencyHistogram
{
    // 128 buckets per power of two: a bucket is at most 1/128 of its value wide.
    private const int SubBucketBits = 7;
    private const int SubBuckets = 1 << SubBucketBits;

    private readonly long[] _counts = new long[(64 - SubBucketBits) * SubBuckets];
    private long _count;
    private long _maxNanoseconds;

    /// <summary>The number of recorded latencies.</summary>
    public long Count => Volatile.Read(ref _count);

    /// <summary>Records the time since a <see cref="Stopwatch"/> timestamp.</summary>
    public void RecordSince(long startTimestamp) => Record(Stopwatch.GetElapsedTime(startTimestamp));

    /// <summary>Records one latency; a negative one counts as 0.</summary>
    public void Record(TimeSpan latency)
    {
        var nanoseconds = Math.Max(0, latency.Ticks) * TimeSpan.NanosecondsPerTick;
        Interlocked.Increment(ref _counts[BucketOf(nanoseconds)]);
        Interlocked.Increment(ref _count);
        InterlockedMax(ref _maxNanoseconds, nanoseconds);
    }

    /// <summary>Returns the percentiles so far; all zero if nothing was recorded.</summary>
    public Latency Summarize() => new(Percentile(0.5), Percentile(0.95), Percentile(0.99), Percentile(0.999), ToMs(_maxNanoseconds));

    private double Percentile(double fraction)
    {
        var rank = (long)Math.Ceiling(Count * fraction);
        var seen = 0L;
        for (var bucket = 0; bucket < _counts.Length && rank > 0; bucket++)
        {
            seen += Volatile.Read(ref _counts[bucket]);
            if (seen >= rank)
                return ToMs(Math.Min(HighestOf(bucket), _maxNanoseconds));
        }
        return 0;
    }

    private static int BucketOf(long value)
    {
        // Values below 2 * SubBuckets have a bucket each. Above, the leading bits select the bucket.
        var shift = Math.Max(0, 63 - BitOperations.LeadingZeroCount((ulong)value | 1) - SubBucketBits);
        return (shift * SubBuckets) + (int)(value >> shift);
    }

    private static long HighestOf(int bucket)
    {
        var shift = Math.Max(0, (bucket / SubBuckets) - 1);
        var leading = bucket - (shift * SubBuckets);
        return ((leading + 1L) << shift) - 1;
    }

    private static void InterlockedMax(ref long location, long value)
    {
        for (var seen = Volatile.Read(ref location); value > seen;)
        {
            var before = Interlocked.CompareExchange(ref location, value, seen);
            if (before == seen)
                return;
            seen = before;
        }
    }

    private static double ToMs(long nanoseconds) => nanoseconds / 1e6;
}

/// <summary>Latencies in milliseconds.</summary>
/// <param name="P50">The 50th percentile.</param>
/// <param name="P95">The 95th percentile.</param>
/// <param name="P99">The 99th percentile.</param>
/// <param name="P999">The 99.9th percentile.</param>
/// <param name="Max">The maximum.</param>
internal sealed record Latency(double P50, double P95, double P99, double P999, double Max);
