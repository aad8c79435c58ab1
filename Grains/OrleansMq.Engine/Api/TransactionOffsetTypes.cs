namespace OrleansMq.Api;

/// <summary>Commits offsets within a transaction: they take effect when it is committed. Kafka's TxnOffsetCommit request. The group was
/// added to the transaction before (<see cref="AddToTransaction"/>).</summary>
public sealed record TransactionOffsetCommit : IGroupRequest<OffsetCommitResult>
{
    /// <summary>The group.</summary>
    public required string GroupId { get; init; }
    /// <summary>The transactional id, for messages and to find what became of the transaction.</summary>
    public required string TransactionalId { get; init; }
    /// <summary>The producer.</summary>
    public required ProducerIdentity Producer { get; init; }
    /// <summary>The number of the transaction (<see cref="AddToTransactionResult.Number"/>).</summary>
    public required long Number { get; init; }
    /// <summary>The classic generation or the member epoch. -1 with an empty <see cref="MemberId"/> skips the check (KIP-447).</summary>
    public int GenerationIdOrMemberEpoch { get; init; } = -1;
    /// <summary>The member's id; empty skips the check.</summary>
    public string MemberId { get; init; } = "";
    /// <summary>The instance id of a static member.</summary>
    public string? GroupInstanceId { get; init; }
    /// <summary>The offsets to commit.</summary>
    public required IReadOnlyList<PartitionOffset> Offsets { get; init; }

    AccessOperation IGroupRequest.Operation => AccessOperation.Read;

    object ICoordinatorRequest.Refuse(ErrorCode error, string message) => new OffsetCommitResult(
        [.. Offsets.Select(offset => new PartitionError(offset.Topic, offset.Partition, error, offset.TopicId))], message);
}

/// <summary>Ends a transaction in a group: its offsets take effect, or are discarded. Of the transaction's coordinator alone. A repetition
/// changes nothing.</summary>
public sealed record EndTransactionOffsets : IGroupRequest<GroupReply>
{
    /// <summary>The group.</summary>
    public required string GroupId { get; init; }
    /// <summary>The producer, with the epoch that later offsets must have at least.</summary>
    public required ProducerIdentity Producer { get; init; }
    /// <summary>The number of the transaction. It ends that one alone, and offsets of it that come later are refused.</summary>
    public required long Number { get; init; }
    /// <summary>The epoch of the transaction's coordinator.</summary>
    public required int CoordinatorEpoch { get; init; }
    /// <summary>Whether the transaction is committed.</summary>
    public required bool IsCommit { get; init; }

    object ICoordinatorRequest.Refuse(ErrorCode error, string message) => new GroupReply(error, message);
}
