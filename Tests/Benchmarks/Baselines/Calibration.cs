using System.Diagnostics;
using System.Security.Cryptography;

namespace OrleansMq.Tests.Benchmarks.Baselines;

/// <summary>
/// Work that is none of ours, arithmetic and memory in equal parts: how fast the machine is at this moment. A baseline taken elsewhere is
/// scaled by it.
/// </summary>
internal static class Calibration
{
    private const int Rounds = 200;
    private static readonly byte[] Source = new byte[1 << 20];
    private static readonly byte[] Target = new byte[1 << 20];

    /// <returns>Nanoseconds a round, the median.</returns>
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
