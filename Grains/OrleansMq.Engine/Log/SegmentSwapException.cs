namespace OrleansMq.Log;

/// <summary>
/// The disk failed while segments were exchanged for the one that a compaction made of them. The exchange is completed when the partition
/// is opened the next time; until then the partition has to stay offline.
/// </summary>
internal sealed class SegmentSwapException(string directory, Exception inner)
    : IOException($"The disk failed while compacted segments were put in place in '{directory}': {inner.Message} Nothing is lost. Repair "
    + "the disk and restart the "
        + "broker, which then completes it.", inner);
