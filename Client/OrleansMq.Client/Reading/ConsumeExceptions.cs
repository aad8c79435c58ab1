namespace OrleansMq.Client;

/// <summary>
/// A partition cannot be read any further. The reader throws this until the partition is sought or unassigned. No record was skipped.
/// <see cref="OrleansMqException.Action"/> tells whether to retry (seek to <see cref="Offset"/>) or to abort.
/// </summary>
public class ConsumeException : OrleansMqException
{
    /// <summary>Creates a failure at a position.</summary>
    public ConsumeException(ErrorCode code, TopicPartition partition, long offset, string message, Exception? inner = null)
        : base(code, message, inner)
    {
        Partition = partition;
        Offset = offset;
    }

    /// <summary>The partition.</summary>
    public TopicPartition Partition { get; }

    /// <summary>The offset of the next record to read; -1 if the start was not found yet.</summary>
    public long Offset { get; }
}

/// <summary>
/// The position does not exist in the partition: its records were deleted, by retention or explicitly, or never existed. It never comes
/// from a leader that was replaced and has a shorter log; where too few replicas are in sync to tell, it may after 30 seconds. The reader
/// never skips on its own. Choose a new position with <see cref="IPartitionReader{TKey, TValue}.Seek"/>.
/// </summary>
public sealed class OffsetOutOfRangeException(TopicPartition partition, long offset, long logStartOffset, long highWatermark)
    : ConsumeException(ErrorCode.OffsetOutOfRange, partition, offset,
        $"{partition} has no offset {offset}: it holds {logStartOffset} to {highWatermark} (-1: not known). Choose where to go on: Seek to "
        + "ReadFrom.Earliest, Latest or another offset.")
{
    /// <summary>The first available offset; -1 if unknown.</summary>
    public long LogStartOffset { get; } = logStartOffset;

    /// <summary>The first offset that is not readable yet; -1 if unknown.</summary>
    public long HighWatermark { get; } = highWatermark;
}
