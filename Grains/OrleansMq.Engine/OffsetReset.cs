namespace OrleansMq;

/// <summary>A reset to plan or to execute.</summary>
/// <param name="GroupId">The group.</param>
/// <param name="Target">Where to reset to; null if <paramref name="Offsets"/> gives an offset for each partition.</param>
/// <param name="Topics">Resets all partitions of these topics.</param>
/// <param name="Partitions">Resets these partitions. Without topics, partitions and offsets, all partitions with committed offsets are
/// reset.</param>
/// <param name="Offsets">Resets these partitions to these offsets.</param>
public sealed record OffsetReset(string GroupId, OffsetTarget? Target = null, IReadOnlyList<string>? Topics = null,
    IReadOnlyList<TopicPartition>? Partitions = null, IReadOnlyDictionary<TopicPartition, long>? Offsets = null);

/// <summary>The plan of a reset, or its result.</summary>
/// <param name="GroupId">The group.</param>
/// <param name="Executed">Whether it was executed.</param>
/// <param name="Members">The number of members of the group; with any the reset cannot be executed.</param>
/// <param name="Partitions">The partitions, ordered by topic and number.</param>
public sealed record OffsetResetPlan(string GroupId, bool Executed, int Members, IReadOnlyList<PlannedReset> Partitions);

/// <summary>The planned reset of one partition.</summary>
/// <param name="Partition">The partition.</param>
/// <param name="TopicId">The topic's id; empty if unknown.</param>
/// <param name="Committed">The committed offset before; null for none.</param>
/// <param name="Target">The committed offset afterwards; null if the partition is not changed.</param>
/// <param name="Note">Anything unusual: why the partition is not changed, or that the target was moved into the log's range. Otherwise
/// null.</param>
/// <param name="Error">Other than <see cref="ErrorCode.None"/>, the partition is unavailable, and the reset cannot be executed.</param>
public sealed record PlannedReset(TopicPartition Partition, Guid TopicId, long? Committed, long? Target, string? Note = null,
    ErrorCode Error = ErrorCode.None);
