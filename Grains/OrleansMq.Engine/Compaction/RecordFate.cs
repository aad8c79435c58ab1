namespace OrleansMq.Compaction;

/// <summary>What a cleaning does with a record.</summary>
public enum RecordFate
{
    /// <summary>Never returned.</summary>
    Unknown = 0,
    /// <summary>The latest of its key: stays.</summary>
    Keep = 1,
    /// <summary>A later record has the same key: goes.</summary>
    Superseded = 2,
    /// <summary>A tombstone whose delete horizon has passed, so that every reader had <c>delete.retention.ms</c> to see it: goes.</summary>
    ExpiredTombstone = 3,
    /// <summary>A record without a key, from a time when the topic was not compacted: it can never be superseded, so it goes.</summary>
    NoKey = 4,
}

/// <summary>Decides on single records. Pure.</summary>
public static class RecordFates
{
    /// <summary>What becomes of a record in the part of the log that is being cleaned.</summary>
    /// <param name="offset">The record's offset.</param>
    /// <param name="hasKey">Whether it has a key.</param>
    /// <param name="hasValue">Whether it has a value; one without is a tombstone.</param>
    /// <param name="latestOffsetOfKey">The latest offset of its key in the dirty part; -1 where the key does not occur there.</param>
    /// <param name="deleteHorizon">Its batch's delete horizon in milliseconds since 1970; null where none is set yet.</param>
    /// <param name="now">Milliseconds since 1970.</param>
    public static RecordFate Decide(long offset, bool hasKey, bool hasValue, long latestOffsetOfKey, long? deleteHorizon, long now)
    {
        if (!hasKey)
            return RecordFate.NoKey;
        if (offset < latestOffsetOfKey)
            return RecordFate.Superseded;
        return !hasValue && deleteHorizon is { } horizon && now > horizon ? RecordFate.ExpiredTombstone : RecordFate.Keep;
    }

    /// <summary>When tombstones that are seen by a cleaning for the first time may go.</summary>
    /// <param name="now">Milliseconds since 1970.</param>
    /// <param name="deleteRetentionMs">The topic's <c>delete.retention.ms</c>.</param>
    public static long DeleteHorizon(long now, long deleteRetentionMs) =>
        deleteRetentionMs > long.MaxValue - now ? long.MaxValue : now + deleteRetentionMs;
}
