using System.Diagnostics;

namespace OrleansMq.Cli.Benchmark;

/// <summary>Measures the disk without a broker: the same number of bytes, written sequentially to one file.</summary>
internal static class RawWrite
{
    /// <summary>Writes <paramref name="bytes"/> bytes in pieces of <paramref name="pieceBytes"/>. The file is deleted afterwards.</summary>
    public static RawWriteResult Measure(string directory, long bytes, int pieceBytes, CancellationToken cancellationToken)
    {
        var path = Path.Combine(directory, "raw-write");
        var piece = new byte[Math.Max(1, pieceBytes)];
        new Random(1).NextBytes(piece); // not zeros, which some volumes store without writing
        try
        {
            using var file = File.OpenHandle(path, FileMode.Create, FileAccess.Write, FileShare.None, FileOptions.None);
            var start = Stopwatch.GetTimestamp();
            for (var position = 0L; position < bytes; position += piece.Length)
            {
                cancellationToken.ThrowIfCancellationRequested();
                RandomAccess.Write(file, piece.AsSpan(0, (int)Math.Min(piece.Length, bytes - position)), position);
            }
            var written = Stopwatch.GetElapsedTime(start);
            RandomAccess.FlushToDisk(file);
            return new RawWriteResult(bytes, written.TotalSeconds, Rate(bytes, written), Stopwatch.GetElapsedTime(start).TotalSeconds);
        }
        finally
        {
            File.Delete(path);
        }
    }

    private static double Rate(long bytes, TimeSpan time) => bytes / 1e6 / Math.Max(time.TotalSeconds, 1e-9);
}

/// <summary>The speed of the disk without a broker.</summary>
/// <param name="Bytes">The bytes written.</param>
/// <param name="Seconds">The time until the operating system had accepted all bytes.</param>
/// <param name="MegabytesPerSecond">The rate over <paramref name="Seconds"/>, in units of 1,000,000 bytes.</param>
/// <param name="FlushedSeconds">The time until all bytes were on stable storage.</param>
internal sealed record RawWriteResult(long Bytes, double Seconds, double MegabytesPerSecond, double FlushedSeconds);
