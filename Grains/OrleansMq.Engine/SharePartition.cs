namespace OrleansMq;

/// <summary>Where a share group is in one partition, as its leader knows it.</summary>
/// <param name="Partition">The partition.</param>
/// <param name="StartOffset">The first offset that is not settled; null if the group has not begun, or that is not known.</param>
/// <param name="InFlight">The records that members hold; null as above.</param>
/// <param name="Lag">The records that are not settled, with those in flight; null as above.</param>
public sealed record SharePartition(TopicPartition Partition, long? StartOffset, long? InFlight, long? Lag)
{
    /// <summary>Since the group began there, the records that were accepted.</summary>
    public long Accepted { get; init; }
    /// <summary>Since the group began there, the records that were rejected or delivered too often, and dropped.</summary>
    public long Rejected { get; init; }
    /// <summary>Since the group began there, the records that went to its dead-letter topic.</summary>
    public long DeadLettered { get; init; }
    /// <summary>The members to which the partition is assigned, in ordinal order.</summary>
    public IReadOnlyList<string> MemberIds { get; init; } = [];
    /// <summary>Other than <see cref="ErrorCode.None"/>, why nothing is known, for example without a leader.</summary>
    public ErrorCode Error { get; init; }
    /// <summary>On error, the cause and how to fix it.</summary>
    public string? Message { get; init; }
}
