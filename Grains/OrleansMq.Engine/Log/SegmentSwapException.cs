namespace OrleansMq.Log;

/// <summary>
/// The disk failed during the exchange of compacted segments. The next open of the partition completes the exchange; until then the
/// partition must stay offline.
/// </summary>
internal sealed class SegmentSwapException(string directory, Exception inner)
    : IOException($"The disk failed while compacted segments were put in place in '{directory}': {inner.Message} Nothing is lost. "
        + "Repair the disk and restart the broker, which then completes it.", inner);
