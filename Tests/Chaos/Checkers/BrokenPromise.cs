namespace OrleansMq.Tests.Chaos.Checkers;

/// <summary>What the broker of the checkers' own tests does wrong, once.</summary>
public enum BrokenPromise
{
    None = 0,
    /// <summary>Acknowledges a batch without keeping it.</summary>
    ForgetsABatch,
    /// <summary>Drops the newest batch after it was acknowledged, and gives its offsets to the next.</summary>
    TruncatesWhatItAcknowledged,
    /// <summary>Keeps a batch twice.</summary>
    DoublesABatch,
    /// <summary>Exchanges two batches before anybody reads them.</summary>
    ReordersBatches,
    /// <summary>Leaves an offset out.</summary>
    LeavesAHole,
    /// <summary>Shows one reader something else than the next.</summary>
    ChangesARecord,
    /// <summary>Answers an older latest offset than before.</summary>
    ForgetsTheLatestOffset,
    /// <summary>Shows a record and says that the high watermark is below it.</summary>
    ShowsWhatIsNotCommitted,
    /// <summary>Refuses a batch for good, and keeps it.</summary>
    KeepsWhatItRefused,
    /// <summary>Flips a bit of what it serves.</summary>
    DamagesABatch,
}
