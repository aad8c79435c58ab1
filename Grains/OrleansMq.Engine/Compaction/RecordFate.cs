namespace OrleansMq.Compaction;

/// <summary>What a cleaning does with a record.</summary>
internal enum RecordFate
{
    /// <summary>Never returned.</summary>
    Unknown = 0,
    /// <summary>Keep: it is the latest record of its key.</summary>
    Keep = 1,
    /// <summary>Remove: a later record has the same key.</summary>
    Superseded = 2,
    /// <summary>Remove: a tombstone whose delete horizon has passed. Every reader had <c>delete.retention.ms</c> to see it.</summary>
    ExpiredTombstone = 3,
    /// <summary>Remove: a record without a key, written before the topic was compacted, which could never be superseded.</summary>
    NoKey = 4,
    /// <summary>Remove: every queue of the partition has settled it.</summary>
    Settled = 5,
}

/// <summary>Decides on single records. Pure.</summary>
internal static class RecordFates
{
    /// <summary>Decides on a record in the part of the log that is being cleaned.</summary>
    /// <param name="offset">The record's offset.</param>
    /// <param name="hasKey">Whether it has a key.</param>
    /// <param name="hasValue">Whether it has a value; otherwise it is a tombstone.</param>
    /// <param name="latestOffsetOfKey">The latest offset of its key in the dirty part; -1 if the key does not occur there.</param>
    /// <param name="deleteHorizon">Its batch's delete horizon in milliseconds since 1970; null if not set yet.</param>
    /// <param name="now">Milliseconds since 1970.</param>
    public static RecordFate Decide(long offset, bool hasKey, bool hasValue, long latestOffsetOfKey, long? deleteHorizon, long now)
    {
        if (!hasKey)
            return RecordFate.NoKey;
        if (offset < latestOffsetOfKey)
            return RecordFate.Superseded;
        return !hasValue && deleteHorizon is { } horizon && now > horizon ? RecordFate.ExpiredTombstone : RecordFate.Keep;
    }

    /// <summary>Returns when tombstones that a cleaning finds for the first time may be removed.</summary>
    /// <param name="now">Milliseconds since 1970.</param>
    /// <param name="deleteRetentionMs">The topic's <c>delete.retention.ms</c>.</param>
    public static long DeleteHorizon(long now, long deleteRetentionMs) =>
        deleteRetentionMs > long.MaxValue - now ? long.MaxValue : now + deleteRetentionMs;
}
