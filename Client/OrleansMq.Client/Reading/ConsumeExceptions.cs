namespace OrleansMq.Client;

/// <summary>
/// A partition that cannot be read on. The reader keeps throwing this until the partition is sought or unassigned; nothing was skipped.
/// </summary>
public class ConsumeException : Exception
{
    /// <summary>A failure at a place.</summary>
    public ConsumeException(ErrorCode code, TopicPartition partition, long offset, string message, Exception? inner = null)
        : base(message, inner)
    {
        Code = code;
        Partition = partition;
        Offset = offset;
    }

    /// <summary>The protocol's name for what happened.</summary>
    public ErrorCode Code { get; }

    /// <summary>Whether to retry (seek to <see cref="Offset"/>), or to abort.</summary>
    public ErrorAction Action => Code.Action();

    /// <summary>The partition.</summary>
    public TopicPartition Partition { get; }

    /// <summary>The offset that was to be read next; -1 where the start was not found yet.</summary>
    public long Offset { get; }
}

/// <summary>
/// The offset to be read next is not in the partition: its records were deleted by retention or by hand, or it was never there. The reader
/// never jumps by itself: choose where to go on with <see cref="IPartitionReader{TKey, TValue}.Seek"/>.
/// </summary>
public sealed class OffsetOutOfRangeException(TopicPartition partition, long offset, long logStartOffset, long highWatermark)
    : ConsumeException(ErrorCode.OffsetOutOfRange, partition, offset,
        $"{partition} has no offset {offset}: it holds {logStartOffset} to {highWatermark} (-1: not known). Choose where to go on: Seek to "
        + "ReadFrom.Earliest, Latest or another offset.")
{
    /// <summary>The first offset there is; -1 if not known.</summary>
    public long LogStartOffset { get; } = logStartOffset;

    /// <summary>The first offset that cannot be read yet; -1 if not known.</summary>
    public long HighWatermark { get; } = highWatermark;
}
