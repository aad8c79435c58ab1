namespace OrleansMq.Api;

/// <summary>A committed offset.</summary>
/// <param name="Offset">The next offset to read.</param>
/// <param name="LeaderEpoch">The leader epoch of the last record read; -1 if unknown.</param>
/// <param name="Metadata">Free text from the committing client, at most 4,096 bytes; empty for none.</param>
/// <param name="CommitTimestamp">When it was stored, in milliseconds since 1970. Set by the coordinator.</param>
public sealed record CommittedOffset(long Offset, int LeaderEpoch = -1, string Metadata = "", long CommitTimestamp = -1);

/// <summary>A partition and the offset to commit for it.</summary>
/// <param name="Topic">The topic's name; null if <paramref name="TopicId"/> identifies it.</param>
/// <param name="Partition">The partition's number.</param>
/// <param name="Offset">The offset to commit.</param>
/// <param name="TopicId">The topic's id; empty if the name identifies it. If both are given, they must match.</param>
public sealed record PartitionOffset(string? Topic, int Partition, CommittedOffset Offset, Guid TopicId = default);

/// <summary>Kafka's OffsetCommit request.</summary>
public sealed record OffsetCommit : IGroupRequest<OffsetCommitResult>
{
    /// <summary>The group.</summary>
    public required string GroupId { get; init; }
    /// <summary>The classic generation or the member epoch. -1 with an empty <see cref="MemberId"/> is a commit by a non-member, allowed
    /// while the group has no members.</summary>
    public int GenerationIdOrMemberEpoch { get; init; } = -1;
    /// <summary>The member's id.</summary>
    public string MemberId { get; init; } = "";
    /// <summary>The instance id of a static member.</summary>
    public string? GroupInstanceId { get; init; }
    /// <summary>The offsets to commit.</summary>
    public required IReadOnlyList<PartitionOffset> Offsets { get; init; }

    AccessOperation IGroupRequest.Operation => AccessOperation.Read;

    object ICoordinatorRequest.Refuse(ErrorCode error, string message) => new OffsetCommitResult(
        [.. Offsets.Select(offset => new PartitionError(offset.Topic, offset.Partition, error, offset.TopicId))], message);
}

/// <summary>The result for one partition.</summary>
/// <param name="Topic">The topic's name; null if the caller used an unknown topic id.</param>
/// <param name="Partition">The partition's number.</param>
/// <param name="Error"><see cref="ErrorCode.None"/>, or why the request failed for this partition.</param>
/// <param name="TopicId">The topic's id, if known.</param>
public sealed record PartitionError(string? Topic, int Partition, ErrorCode Error, Guid TopicId = default);

/// <summary>The response to <see cref="OffsetCommit"/>.</summary>
/// <param name="Partitions">One entry per partition, in request order.</param>
/// <param name="Message">On an error of the whole request, the field at fault and how to fix it.</param>
public sealed record OffsetCommitResult(IReadOnlyList<PartitionError> Partitions, string? Message = null) : IGroupAnswer
{
    // A refusal is reported for every partition. NotCoordinator is the only such error that causes the request to be sent again.
    ErrorCode IGroupAnswer.Error =>
        Partitions is [{ Error: ErrorCode.NotCoordinator }, ..] ? ErrorCode.NotCoordinator : ErrorCode.None;
}

/// <summary>Kafka's OffsetFetch request for one group.</summary>
public sealed record OffsetFetch : IGroupRequest<OffsetFetchResult>
{
    /// <summary>The group.</summary>
    public required string GroupId { get; init; }
    /// <summary>The partitions to fetch; null for all that have an offset.</summary>
    public IReadOnlyList<TopicPartition>? Partitions { get; init; }
    /// <summary>The caller's member id, which fails the request if it is not (or no longer) a member; null skips the check.</summary>
    public string? MemberId { get; init; }
    /// <summary>The caller's member epoch (consumer protocol); -1 skips the check.</summary>
    public int MemberEpoch { get; init; } = -1;
    /// <summary>Whether a partition with offsets in an open transaction returns <see cref="ErrorCode.UnstableOffsetCommit"/>
    /// (KIP-447).</summary>
    public bool RequireStable { get; init; }
    /// <summary>Whether a coordinator may answer from memory although it may have been replaced without noticing. It saves a read of the
    /// store. Use it for statistics, never for a position to resume from.</summary>
    public bool AllowStale { get; init; }

    AccessOperation IGroupRequest.Operation => AccessOperation.Describe;

    object ICoordinatorRequest.Refuse(ErrorCode error, string message) => new OffsetFetchResult(error, [], message);
}

/// <summary>The response to <see cref="OffsetFetch"/>.</summary>
/// <param name="Error">The error of the whole request.</param>
/// <param name="Partitions">The requested partitions.</param>
/// <param name="Message">On error, the field at fault and how to fix it.</param>
public sealed record OffsetFetchResult(ErrorCode Error, IReadOnlyList<FetchedOffset> Partitions, string? Message = null) : IGroupAnswer;

/// <summary>The committed offset of a partition.</summary>
/// <param name="Partition">The partition.</param>
/// <param name="TopicId">The id of the topic for which the offset was committed.</param>
/// <param name="Offset">The committed offset; null for none.</param>
/// <param name="Error"><see cref="ErrorCode.None"/>, or why it cannot be fetched.</param>
public sealed record FetchedOffset(TopicPartition Partition, Guid TopicId, CommittedOffset? Offset, ErrorCode Error = ErrorCode.None);

/// <summary>Kafka's OffsetDelete request.</summary>
/// <param name="GroupId">The group.</param>
/// <param name="Partitions">The partitions whose offsets to delete.</param>
public sealed record OffsetDelete(string GroupId, IReadOnlyList<TopicPartition> Partitions) : IGroupRequest<OffsetDeleteResult>
{
    AccessOperation IGroupRequest.Operation => AccessOperation.Delete;

    object ICoordinatorRequest.Refuse(ErrorCode error, string message) => new OffsetDeleteResult(error, [], message);
}

/// <summary>The response to <see cref="OffsetDelete"/>.</summary>
/// <param name="Error">The error of the whole request.</param>
/// <param name="Partitions">One entry per partition, in request order.</param>
/// <param name="Message">On error, the field at fault and how to fix it.</param>
public sealed record OffsetDeleteResult(ErrorCode Error, IReadOnlyList<PartitionError> Partitions, string? Message = null) : IGroupAnswer;
