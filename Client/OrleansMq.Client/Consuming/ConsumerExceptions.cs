namespace OrleansMq.Client;

/// <summary>No offset is committed for a partition, and with <see cref="AutoOffsetReset.Fail"/> the application has to choose where it
/// starts.</summary>
public sealed class NoCommittedOffsetException(TopicPartition partition, string? groupId)
    : ConsumeException(ErrorCode.OffsetOutOfRange, partition, -1,
    $"Nothing is committed for {partition}{(groupId is null ? "" : $" in group '{groupId}'")}, and AutoOffsetReset is Fail. Seek to where "
    + "it is to start.");

/// <summary>The consumer cannot be a member of its group. It hands out no more records until <see cref="IConsumer.Subscribe"/> is called
/// again.</summary>
public sealed class ConsumerGroupException(ErrorCode code, string? groupId, string message, Exception? inner = null)
    : OrleansMqException(code, $"Consumer group '{groupId}': {message}", inner);

/// <summary>Offsets were not committed, or the outcome of the commit is unknown. <see cref="OrleansMqException.Code"/> is that of the first
/// partition that failed.</summary>
public class CommitException(ErrorCode code, IReadOnlyList<TopicPartition> partitions, string message, Exception? inner = null)
    : OrleansMqException(code, message, inner)
{
    /// <summary>The partitions whose offsets were not committed.</summary>
    public IReadOnlyList<TopicPartition> Partitions { get; } = partitions;
}

/// <summary>
/// Offsets were rejected because the partitions are no longer assigned to this consumer. Other members read the same records again from the
/// last committed offset. Undo what can be undone, and do not commit again.
/// </summary>
public sealed class CommitFencedException(ErrorCode code, IReadOnlyList<TopicPartition> partitions)
    : CommitException(code, partitions, $"{string.Join(", ", partitions)}: no longer assigned to this consumer ({code}), so the offsets "
    + "were not committed. Their records are read again by the members that own them now.");

/// <summary>
/// A record was done by an earlier attempt, as after a database commit whose outcome was unknown. Roll the transaction back. A handler that
/// lets this exception pass has handled the record: its partition continues with the next one.
/// </summary>
/// <param name="partition">The record's partition.</param>
/// <param name="offset">The record's offset.</param>
public sealed class RecordAlreadyDoneException(TopicPartition partition, long offset)
    : OrleansMqException(ErrorCode.None,
        $"{partition}, offset {offset}: done before. Roll the transaction back and continue with the next record.")
{
    /// <summary>The record's partition.</summary>
    public TopicPartition Partition { get; } = partition;

    /// <summary>The record's offset.</summary>
    public long Offset { get; } = offset;
}
