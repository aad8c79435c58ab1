namespace OrleansMq.Client;

/// <summary>Where a partition starts for which nothing is committed. It has to be chosen: no default is right for everybody.</summary>
public enum AutoOffsetReset
{
    /// <summary>Not chosen: refused.</summary>
    Unspecified = 0,
    /// <summary>With the first record there is.</summary>
    Earliest = 1,
    /// <summary>With what comes from now on: what was written while nobody read is never read.</summary>
    Latest = 2,
    /// <summary>Nowhere: reading fails with <see cref="NoCommittedOffsetException"/> until the partition is sought.</summary>
    Fail = 3,
}

/// <summary>An offset to commit.</summary>
/// <param name="Partition">Which partition.</param>
/// <param name="Offset">The next offset to read: the last one done plus one.</param>
/// <param name="LeaderEpoch">Of the last record done; -1 if not known.</param>
/// <param name="Metadata">Words of your own, at most 4,096 bytes.</param>
public sealed record TopicPartitionOffset(TopicPartition Partition, long Offset, int LeaderEpoch = -1, string Metadata = "");

/// <summary>Who a consumer is in its group.</summary>
/// <param name="GroupId">The group; null without one.</param>
/// <param name="MemberId">The member's id; empty while it is not a member.</param>
/// <param name="GenerationIdOrMemberEpoch">The classic generation or the member epoch; -1 while it is not a member.</param>
/// <param name="GroupInstanceId">The id of a static member; null for others.</param>
public sealed record ConsumerGroupMetadata(string? GroupId, string MemberId, int GenerationIdOrMemberEpoch, string? GroupInstanceId);
