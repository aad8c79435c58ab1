using OrleansMq.Topics;

namespace OrleansMq.Log;

/// <summary>Why a log begins a new segment.</summary>
internal enum RollReason
{
    /// <summary>It does not.</summary>
    None = 0,
    /// <summary><c>segment.bytes</c>.</summary>
    Size = 1,
    /// <summary><c>segment.ms</c>.</summary>
    Age = 2,
    /// <summary><c>segment.index.bytes</c>.</summary>
    IndexFull = 3,
    /// <summary>Offsets or positions would not fit the 32 bits of an index entry.</summary>
    RelativeOffset = 4,
}

/// <summary>When a new segment is begun. Pure.</summary>
internal static class RollPolicy
{
    /// <summary>What the decision looks at.</summary>
    /// <param name="BaseOffset">Of the active segment.</param>
    /// <param name="Size">Bytes in it, and waiting to be written to it.</param>
    /// <param name="IndexEntries">Entries of its offset index.</param>
    /// <param name="TimeIndexEntries">Entries of its time index.</param>
    /// <param name="FirstTimestamp">Of its first batch; -1 where it has none.</param>
    /// <param name="CreatedAt">When it was begun, by the broker's clock.</param>
    public readonly record struct Active(long BaseOffset, long Size, int IndexEntries, int TimeIndexEntries, long FirstTimestamp,
        long CreatedAt);

    /// <summary>
    /// Whether a batch of <paramref name="batchBytes"/> that ends with <paramref name="lastOffset"/> goes into a new segment. Age counts
    /// in the time of the records, so that
    /// old records that are written today do not make a segment each.
    /// </summary>
    public static RollReason BeforeAppend(in Active active, int batchBytes, long lastOffset, long batchTimestamp, TopicConfig config,
        long jitter)
    {
        if (active.Size == 0)
            return RollReason.None;
        if (active.Size + batchBytes > config.SegmentBytes)
            return RollReason.Size;
        if (lastOffset - active.BaseOffset > int.MaxValue || active.Size + batchBytes > int.MaxValue)
            return RollReason.RelativeOffset;
        if (IsIndexFull(active, config))
            return RollReason.IndexFull;
        return active.FirstTimestamp >= 0 && batchTimestamp - active.FirstTimestamp > MaxAge(config, jitter) ? RollReason.Age
            : RollReason.None;
    }

    /// <summary>Whether a segment is old enough to be closed though nothing more is appended: then retention and compaction can have
    /// it.</summary>
    public static RollReason WhileIdle(in Active active, TopicConfig config, long jitter, long now) =>
        active.Size > 0 && now - active.CreatedAt > MaxAge(config, jitter) ? RollReason.Age : RollReason.None;

    private static bool IsIndexFull(in Active active, TopicConfig config) =>
        active.IndexEntries >= config.SegmentIndexBytes / OffsetIndex.EntrySize
            || active.TimeIndexEntries >= (config.SegmentIndexBytes / TimeIndex.EntrySize) - 1;

    private static long MaxAge(TopicConfig config, long jitter) => config.SegmentMs - Math.Min(jitter, config.SegmentMs);
}
