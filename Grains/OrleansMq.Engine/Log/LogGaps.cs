using OrleansMq.Topics;

namespace OrleansMq.Log;

/// <summary>
/// Whether a log's offsets may have gaps. In a gapless log each batch begins where the previous one ended, and readers report anything else
/// as damage. Compaction makes gaps, and so may a compacted leader's batches in a follower's log.
/// </summary>
/// <remarks>
/// <code>
/// Gapless               -- Load, Follow --> MayHaveGaps   a cleaner-checkpoint exists, or the topic is compacted
/// Gapless, MayHaveGaps  -- Note         --> Noted         the cleaner-checkpoint exists, so that a restart allows gaps, too
/// </code>
/// There is no way back. Readers use <see cref="IsGapless"/> without a lock.
/// </remarks>
internal sealed class LogGaps(CompactionProgress compaction)
{
    private volatile bool _mayHaveGaps;

    /// <summary>Whether offsets follow each other without gaps.</summary>
    public bool IsGapless => !_mayHaveGaps;

    /// <summary>Allows gaps if the log was ever compacted.</summary>
    public void Load()
    {
        if (compaction.Exists)
            _mayHaveGaps = true;
    }

    /// <summary>Allows gaps if the topic is compacted now.</summary>
    public void Follow(TopicConfig config)
    {
        if (config.CleanupCompact)
            _mayHaveGaps = true;
    }

    /// <summary>
    /// Allows gaps durably, before the first one is written. Without the file a restart would take the gap for a loss, also where the topic
    /// is compacted: the log may be opened before the topic's configuration is known. Under the append lock.
    /// </summary>
    /// <param name="logStartOffset">The first dirty offset of a log that was never compacted.</param>
    public void Note(long logStartOffset)
    {
        compaction.NoteGap(logStartOffset);
        _mayHaveGaps = true;
    }
}
