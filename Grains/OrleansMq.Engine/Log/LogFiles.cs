using System.Globalization;

namespace OrleansMq.Log;

/// <summary>
/// The names of the files in a partition's directory. Those of segments are Kafka's: 20 digits of the base offset and a suffix, so that
/// sorting by name is sorting by offset.
/// </summary>
public static class LogFiles
{
    /// <summary>Record batches, one after the other.</summary>
    public const string Log = ".log";
    /// <summary>Offset to position.</summary>
    internal const string Index = ".index";
    /// <summary>Timestamp to offset.</summary>
    internal const string TimeIndex = ".timeindex";
    /// <summary>Producer state as of the offset in the name.</summary>
    internal const string Snapshot = ".snapshot";
    /// <summary>Appended to a file that nobody finds any more and that is deleted a little later.</summary>
    internal const string Deleted = ".deleted";
    /// <summary>Appended to what a compaction is writing: worthless after a crash.</summary>
    internal const string Cleaned = ".cleaned";
    /// <summary>Appended to what a compaction has finished: takes the place of the segments it was made from.</summary>
    internal const string Swap = ".swap";
    /// <summary>Log start offset, recovery point, flushed point: see <see cref="PartitionCheckpoint"/>.</summary>
    internal const string Checkpoint = "partition-checkpoint";
    /// <summary>Topic id, in Kafka's text form.</summary>
    internal const string Metadata = "partition.metadata";

    /// <summary>Digits of an offset in a name: enough for any int64.</summary>
    internal const int OffsetDigits = 20;

    /// <summary>The name of a segment's file.</summary>
    internal static string Name(long baseOffset, string suffix) => string.Create(CultureInfo.InvariantCulture, $"{baseOffset:D20}{suffix}");

    /// <summary>Reads the base offset out of a name such as <c>00000000000000000042.log</c>.</summary>
    /// <param name="name">The file's name.</param>
    /// <param name="suffix">The suffix that it has.</param>
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
