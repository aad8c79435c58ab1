namespace OrleansMq.Tests.Chaos.Checkers;

/// <summary>The fault that the broker under the checkers' own tests commits, once.</summary>
public enum BrokenPromise
{
    None = 0,
    /// <summary>Acknowledges a batch without keeping it.</summary>
    ForgetsABatch,
    /// <summary>Drops the newest batch after its acknowledgement and assigns its offsets to the next.</summary>
    TruncatesWhatItAcknowledged,
    /// <summary>Stores a batch twice.</summary>
    DoublesABatch,
    /// <summary>Swaps two batches before any reader sees them.</summary>
    ReordersBatches,
    /// <summary>Skips an offset.</summary>
    LeavesAHole,
    /// <summary>Shows one reader another record than the next reader.</summary>
    ChangesARecord,
    /// <summary>Returns an older latest offset than before.</summary>
    ForgetsTheLatestOffset,
    /// <summary>Returns a record and a high watermark below it.</summary>
    ShowsWhatIsNotCommitted,
    /// <summary>Refuses a batch permanently and stores it.</summary>
    KeepsWhatItRefused,
    /// <summary>Flips a bit of what it returns.</summary>
    DamagesABatch,
}
