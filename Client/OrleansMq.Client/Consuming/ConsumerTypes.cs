namespace OrleansMq.Client;

/// <summary>Where a partition starts if no offset is committed for it. There is no default, since none fits every application.</summary>
public enum AutoOffsetReset
{
    /// <summary>Not chosen; rejected.</summary>
    Unspecified = 0,
    /// <summary>At the first available record.</summary>
    Earliest = 1,
    /// <summary>At the end of the log: records written before the consumer starts are never read.</summary>
    Latest = 2,
    /// <summary>Nowhere: reading throws <see cref="NoCommittedOffsetException"/> until a seek.</summary>
    Fail = 3,
}

/// <summary>An offset to commit.</summary>
/// <param name="Partition">The partition.</param>
/// <param name="Offset">The next offset to read: that of the last record done, plus one.</param>
/// <param name="LeaderEpoch">The leader epoch of the last record done; -1 if unknown.</param>
/// <param name="Metadata">Free text, at most 4,096 bytes.</param>
public sealed record TopicPartitionOffset(TopicPartition Partition, long Offset, int LeaderEpoch = -1, string Metadata = "");

/// <summary>A consumer's identity in its group.</summary>
/// <param name="GroupId">The group; null without one.</param>
/// <param name="MemberId">The member's id; empty while it is not a member.</param>
/// <param name="GenerationIdOrMemberEpoch">The classic generation or the member epoch; -1 while it is not a member.</param>
/// <param name="GroupInstanceId">The instance id of a static member; null for a dynamic member.</param>
public sealed record ConsumerGroupMetadata(string? GroupId, string MemberId, int GenerationIdOrMemberEpoch, string? GroupInstanceId);
