using System.Diagnostics;

namespace OrleansMq.Cli.Benchmark;

/// <summary>What the machine's disk does without a broker: the same number of bytes, written one after the other into one file.</summary>
internal static class RawWrite
{
    /// <summary>Writes <paramref name="bytes"/> bytes in pieces of <paramref name="pieceBytes"/>; the file is deleted afterwards.</summary>
    public static RawWriteResult Measure(string directory, long bytes, int pieceBytes, CancellationToken cancellationToken)
    {
        var path = Path.Combine(directory, "raw-write");
        var piece = new byte[Math.Max(1, pieceBytes)];
        new Random(1).NextBytes(piece); // not zeros: some volumes store those for nothing
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

/// <summary>How fast the disk is by itself.</summary>
/// <param name="Bytes">What was written.</param>
/// <param name="Seconds">How long until the operating system had all of it.</param>
/// <param name="MegabytesPerSecond">Of 1,000,000 bytes, by <paramref name="Seconds"/>.</param>
/// <param name="FlushedSeconds">How long until all of it was on stable storage.</param>
internal sealed record RawWriteResult(long Bytes, double Seconds, double MegabytesPerSecond, double FlushedSeconds);
