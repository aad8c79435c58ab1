using OrleansMq.Topics;

namespace OrleansMq.Log;

/// <summary>Why a log rolls to a new segment.</summary>
internal enum RollReason
{
    /// <summary>It does not roll.</summary>
    None = 0,
    /// <summary><c>segment.bytes</c>.</summary>
    Size = 1,
    /// <summary><c>segment.ms</c>.</summary>
    Age = 2,
    /// <summary><c>segment.index.bytes</c>.</summary>
    IndexFull = 3,
    /// <summary>Offsets or positions would exceed the 32 bits of an index entry.</summary>
    RelativeOffset = 4,
}

/// <summary>Decides when to roll to a new segment. Pure.</summary>
internal static class RollPolicy
{
    /// <summary>The properties of the active segment that the decision uses.</summary>
    /// <param name="BaseOffset">The segment's base offset.</param>
    /// <param name="Size">Its bytes, including those waiting to be written.</param>
    /// <param name="IndexEntries">The number of entries in its offset index.</param>
    /// <param name="TimeIndexEntries">The number of entries in its time index.</param>
    /// <param name="FirstTimestamp">The timestamp of its first batch; -1 if it has none.</param>
    /// <param name="CreatedAt">When it was created, by the broker's clock.</param>
    public readonly record struct Active(long BaseOffset, long Size, int IndexEntries, int TimeIndexEntries, long FirstTimestamp,
        long CreatedAt);

    /// <summary>
    /// Decides whether a batch of <paramref name="batchBytes"/> that ends with <paramref name="lastOffset"/> goes into a new segment. Age
    /// is measured by record timestamps, so that old records that are written today do not each cause a roll.
    /// </summary>
    public static RollReason BeforeAppend(in Active active, long batchBytes, long lastOffset, long batchTimestamp, TopicConfig config,
        long jitter)
    {
        if (active.Size == 0)
            return RollReason.None;
        if (active.Size + batchBytes > config.SegmentBytes)
            return RollReason.Size;
        if (!CanIndex(active.BaseOffset, lastOffset) || active.Size + batchBytes > int.MaxValue)
            return RollReason.RelativeOffset;
        if (IsIndexFull(active, config))
            return RollReason.IndexFull;
        return active.FirstTimestamp >= 0 && batchTimestamp - active.FirstTimestamp > MaxAge(config, jitter) ? RollReason.Age
            : RollReason.None;
    }

    /// <summary>Whether the indexes of a segment can hold an offset: they have 31 bits above its base.</summary>
    public static bool CanIndex(long baseOffset, long offset) => offset - baseOffset <= int.MaxValue;

    /// <summary>Decides whether a segment is old enough to be sealed without further appends, so that retention and compaction can process
    /// it.</summary>
    public static RollReason WhileIdle(in Active active, TopicConfig config, long jitter, long now) =>
        active.Size > 0 && now - active.CreatedAt > MaxAge(config, jitter) ? RollReason.Age : RollReason.None;

    private static bool IsIndexFull(in Active active, TopicConfig config) =>
        active.IndexEntries >= config.SegmentIndexBytes / OffsetIndex.EntrySize
            || active.TimeIndexEntries >= (config.SegmentIndexBytes / TimeIndex.EntrySize) - 1;

    private static long MaxAge(TopicConfig config, long jitter) => config.SegmentMs - Math.Min(jitter, config.SegmentMs);
}
