namespace OrleansMq.Api;

/// <summary>An offset as it was committed.</summary>
/// <param name="Offset">The next offset to read.</param>
/// <param name="LeaderEpoch">Of the last record read; -1 if not known.</param>
/// <param name="Metadata">The committer's own words, at most 4,096 bytes; empty for none.</param>
/// <param name="CommitTimestamp">When it was stored, in milliseconds since 1970; set by the coordinator.</param>
public sealed record CommittedOffset(long Offset, int LeaderEpoch = -1, string Metadata = "", long CommitTimestamp = -1);

/// <summary>A partition with the offset to commit.</summary>
/// <param name="Topic">The topic's name; null where <paramref name="TopicId"/> says which.</param>
/// <param name="Partition">Its number.</param>
/// <param name="Offset">What to commit.</param>
/// <param name="TopicId">The topic's id; empty where the name says which. Given both, they have to belong together.</param>
public sealed record PartitionOffset(string? Topic, int Partition, CommittedOffset Offset, Guid TopicId = default);

/// <summary>Kafka's OffsetCommit.</summary>
public sealed record OffsetCommit : IGroupRequest<OffsetCommitResult>
{
    /// <summary>The group.</summary>
    public required string GroupId { get; init; }
    /// <summary>The classic generation or the member epoch; -1 with an empty <see cref="MemberId"/>: from outside, allowed while the group
    /// has no members.</summary>
    public int GenerationIdOrMemberEpoch { get; init; } = -1;
    /// <summary>The member's id.</summary>
    public string MemberId { get; init; } = "";
    /// <summary>The instance id of a static member.</summary>
    public string? GroupInstanceId { get; init; }
    /// <summary>What to commit.</summary>
    public required IReadOnlyList<PartitionOffset> Offsets { get; init; }

    object IGroupRequest.Refuse(ErrorCode error, string message) => new OffsetCommitResult(
        [.. Offsets.Select(offset => new PartitionError(offset.Topic, offset.Partition, error, offset.TopicId))], message);
}

/// <summary>A partition with an error.</summary>
/// <param name="Topic">The topic's name; null where the caller named an id that is not known.</param>
/// <param name="Partition">Its number.</param>
/// <param name="Error"><see cref="ErrorCode.None"/>, or why not.</param>
/// <param name="TopicId">The topic's id, if known.</param>
public sealed record PartitionError(string? Topic, int Partition, ErrorCode Error, Guid TopicId = default);

/// <summary>The answer to <see cref="OffsetCommit"/>: one entry a partition, in the order of the request.</summary>
/// <param name="Partitions">By partition.</param>
/// <param name="Message">On an error of the whole request: the field, and the fix.</param>
public sealed record OffsetCommitResult(IReadOnlyList<PartitionError> Partitions, string? Message = null) : IGroupAnswer
{
    // A refusal stands at every partition. Of the errors that do, only this one has the request sent again.
    ErrorCode IGroupAnswer.Error =>
        Partitions is [{ Error: ErrorCode.NotCoordinator }, ..] ? ErrorCode.NotCoordinator : ErrorCode.None;
}

/// <summary>Kafka's OffsetFetch for one group.</summary>
public sealed record OffsetFetch : IGroupRequest<OffsetFetchResult>
{
    /// <summary>The group.</summary>
    public required string GroupId { get; init; }
    /// <summary>Which partitions; null: all that have an offset.</summary>
    public IReadOnlyList<TopicPartition>? Partitions { get; init; }
    /// <summary>The caller's id, to be fenced where it is not a member (any more); null: not checked.</summary>
    public string? MemberId { get; init; }
    /// <summary>The caller's member epoch (consumer protocol); -1: not checked.</summary>
    public int MemberEpoch { get; init; } = -1;
    /// <summary>Whether a partition with offsets of an open transaction is answered by <see cref="ErrorCode.UnstableOffsetCommit"/>
    /// (KIP-447).</summary>
    public bool RequireStable { get; init; }
    /// <summary>Whether a coordinator that was replaced, and does not know it yet, may answer what it remembers: for figures, never for a
    /// place to read on from. It saves the coordinator a read of its store.</summary>
    public bool AllowStale { get; init; }

    object IGroupRequest.Refuse(ErrorCode error, string message) => new OffsetFetchResult(error, [], message);
}

/// <summary>The answer to <see cref="OffsetFetch"/>.</summary>
/// <param name="Error">Of the whole request.</param>
/// <param name="Partitions">What was asked for.</param>
/// <param name="Message">On error: the field, and the fix.</param>
public sealed record OffsetFetchResult(ErrorCode Error, IReadOnlyList<FetchedOffset> Partitions, string? Message = null) : IGroupAnswer;

/// <summary>What is committed for a partition.</summary>
/// <param name="Partition">Which.</param>
/// <param name="TopicId">The topic the offset was committed for.</param>
/// <param name="Offset">Null where nothing is committed.</param>
/// <param name="Error"><see cref="ErrorCode.None"/>, or why not.</param>
public sealed record FetchedOffset(TopicPartition Partition, Guid TopicId, CommittedOffset? Offset, ErrorCode Error = ErrorCode.None);

/// <summary>Kafka's OffsetDelete.</summary>
/// <param name="GroupId">The group.</param>
/// <param name="Partitions">The partitions whose offsets to delete.</param>
public sealed record OffsetDelete(string GroupId, IReadOnlyList<TopicPartition> Partitions) : IGroupRequest<OffsetDeleteResult>
{
    object IGroupRequest.Refuse(ErrorCode error, string message) => new OffsetDeleteResult(error, [], message);
}

/// <summary>The answer to <see cref="OffsetDelete"/>.</summary>
/// <param name="Error">Of the whole request.</param>
/// <param name="Partitions">By partition, in the order of the request.</param>
/// <param name="Message">On error: the field, and the fix.</param>
public sealed record OffsetDeleteResult(ErrorCode Error, IReadOnlyList<PartitionError> Partitions, string? Message = null) : IGroupAnswer;
