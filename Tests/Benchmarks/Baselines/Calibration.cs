using System.Diagnostics;
using System.Security.Cryptography;

namespace OrleansMq.Tests.Benchmarks.Baselines;

/// <summary>Fixed work, half arithmetic and half memory access, that measures the current speed of the machine. A baseline of another
/// machine is scaled by it.</summary>
internal static class Calibration
{
    private const int Rounds = 200;
    private static readonly byte[] Source = new byte[1 << 20];
    private static readonly byte[] Target = new byte[1 << 20];

    /// <returns>The median of nanoseconds a round.</returns>
    public static double Measure()
    {
        var hash = new byte[SHA256.HashSizeInBytes];
        var rounds = new double[Rounds];
        for (var i = 0; i < Rounds; i++)
        {
            var begin = Stopwatch.GetTimestamp();
            SHA256.HashData(Source.AsSpan(0, 64 << 10), hash);
            Source.AsSpan().CopyTo(Target);
            rounds[i] = Stopwatch.GetElapsedTime(begin).TotalNanoseconds;
        }
        return Statistics.Median(rounds);
    }
}
