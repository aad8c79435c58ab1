namespace OrleansMq;

/// <summary>A group's lag in one partition.</summary>
/// <param name="Partition">The partition.</param>
/// <param name="Committed">The committed offset, which is the next to read; null for none.</param>
/// <param name="HighWatermark">The first offset that is not readable yet; null if unknown.</param>
/// <param name="Records">The difference of the two; null if one of them is unknown.</param>
/// <param name="Seconds">The age of the first unconsumed record; 0 if there is none; null if unknown.</param>
/// <param name="MemberId">The member to which the partition is assigned; null for none.</param>
/// <param name="Error">Other than <see cref="ErrorCode.None"/>, why the lag is unknown, for example without a leader.</param>
/// <param name="Message">On error, the field or path at fault and how to fix it.</param>
public sealed record PartitionLag(TopicPartition Partition, long? Committed, long? HighWatermark, long? Records, double? Seconds,
    string? MemberId = null, ErrorCode Error = ErrorCode.None, string? Message = null);
