using System.Globalization;

namespace OrleansMq.Log;

/// <summary>
/// The names of the files in a partition's directory. Segments have Kafka's names: 20 digits of the base offset and a suffix, so that
/// sorting by name sorts by offset.
/// </summary>
internal static class LogFiles
{
    /// <summary>Record batches, one after the other.</summary>
    public const string Log = ".log";
    /// <summary>Maps offsets to positions.</summary>
    internal const string Index = ".index";
    /// <summary>Maps timestamps to offsets.</summary>
    internal const string TimeIndex = ".timeindex";
    /// <summary>The aborted transactions whose markers are in the segment.</summary>
    internal const string TransactionIndex = ".txnindex";
    /// <summary>Producer state as of the offset in the name.</summary>
    internal const string Snapshot = ".snapshot";
    /// <summary>What completes the producer state of the same name: the batches before each producer's last one.</summary>
    internal const string Producers = ".producers";
    /// <summary>The cursors as of the offset in the name.</summary>
    internal const string Cursors = ".cursors";
    /// <summary>The message ids as of the offset in the name.</summary>
    internal const string Dedupe = ".dedupe";
    /// <summary>The suffix of a removed file, which is deleted a little later.</summary>
    internal const string Deleted = ".deleted";
    /// <summary>The suffix of a file that a compaction is writing; useless after a crash.</summary>
    internal const string Cleaned = ".cleaned";
    /// <summary>The suffix of a finished compaction's file, which replaces the segments it was made from.</summary>
    internal const string Swap = ".swap";
    /// <summary>Log start offset, recovery point, flushed point: see <see cref="PartitionCheckpoint"/>.</summary>
    internal const string Checkpoint = "partition-checkpoint";
    /// <summary>Topic id, in Kafka's text form.</summary>
    internal const string Metadata = "partition.metadata";

    /// <summary>The digits of an offset in a name: enough for any int64.</summary>
    internal const int OffsetDigits = 20;

    /// <summary>Makes the name of a segment's file.</summary>
    internal static string Name(long baseOffset, string suffix) => string.Create(CultureInfo.InvariantCulture, $"{baseOffset:D20}{suffix}");

    /// <summary>Parses the base offset in a name such as <c>00000000000000000042.log</c>.</summary>
    /// <param name="name">The file's name.</param>
    /// <param name="suffix">The expected suffix.</param>
    /// <param name="baseOffset">The offset; 0 for a name of another form.</param>
    /// <returns>False for a name of another form.</returns>
    public static bool TryParse(string name, string suffix, out long baseOffset)
    {
        baseOffset = 0;
        return name.Length == OffsetDigits + suffix.Length
            && name.EndsWith(suffix, StringComparison.Ordinal)
            && long.TryParse(name.AsSpan(0, OffsetDigits), NumberStyles.None, CultureInfo.InvariantCulture, out baseOffset);
    }
}
