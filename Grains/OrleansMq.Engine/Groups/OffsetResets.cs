namespace OrleansMq.Groups;

/// <summary>What is known of a partition whose offset is to be reset.</summary>
/// <param name="Partition">Which.</param>
/// <param name="TopicId">Its topic.</param>
/// <param name="Committed">What the group has committed; null for nothing.</param>
/// <param name="LogStartOffset">The first offset that can be read.</param>
/// <param name="HighWatermark">The first offset that cannot be read yet.</param>
/// <param name="AtTime">For a time: the first offset at or after it; -1 where no record is that late.</param>
public sealed record ResetPosition(TopicPartition Partition, Guid TopicId, long? Committed, long LogStartOffset, long HighWatermark,
    long AtTime = -1);

/// <summary>What a reset does to one partition.</summary>
/// <param name="Partition">Which.</param>
/// <param name="TopicId">Its topic; empty where that is not known.</param>
/// <param name="Committed">What is committed before; null for nothing.</param>
/// <param name="Target">What is committed afterwards; null: nothing is done to it.</param>
/// <param name="Note">What is out of the ordinary: why nothing is done, or that the target was brought into the log's range. Else
/// null.</param>
/// <param name="Error">Other than <see cref="ErrorCode.None"/>: the partition cannot be looked at, so that the reset cannot be
/// executed.</param>
public sealed record PlannedReset(TopicPartition Partition, Guid TopicId, long? Committed, long? Target, string? Note = null,
    ErrorCode Error = ErrorCode.None);

/// <summary>Works out resets of offsets. Pure: what there is comes in, what is to be committed goes out.</summary>
public static class OffsetResets
{
    /// <summary>What becomes of one partition. The result always lies in the log: a target outside is brought to its nearer end, and the
    /// note says so.</summary>
    public static PlannedReset Plan(ResetPosition position, OffsetTarget target)
    {
        if (target.Kind is OffsetTargetKind.Current or OffsetTargetKind.Shift && position.Committed is null)
            return Planned(position, null, "Nothing is committed, so there is nothing to go from: choose another target.");
        var wanted = target.Kind switch
        {
            OffsetTargetKind.Earliest => position.LogStartOffset,
            OffsetTargetKind.Latest => position.HighWatermark,
            OffsetTargetKind.Current => position.Committed!.Value,
            OffsetTargetKind.Offset => target.Value,
            OffsetTargetKind.Shift => Add(position.Committed!.Value, target.Value),
            OffsetTargetKind.Time or OffsetTargetKind.Duration => position.AtTime < 0 ? position.HighWatermark : position.AtTime,
            _ => throw new ArgumentException(target.Fault ?? $"Target '{target}'.", nameof(target)),
        };
        var reached = Math.Clamp(wanted, position.LogStartOffset, Math.Max(position.LogStartOffset, position.HighWatermark));
        return Planned(position, reached, NoteOf(position, target, wanted, reached));
    }

    private static PlannedReset Planned(ResetPosition position, long? target, string? note) =>
        new(position.Partition, position.TopicId, position.Committed, target, note);

    private static string? NoteOf(ResetPosition position, OffsetTarget target, long wanted, long reached) =>
        reached > wanted ? $"Offset {wanted} is below the first record there is, {position.LogStartOffset}."
        : reached < wanted ? $"Offset {wanted} is beyond the end of the log, {position.HighWatermark}."
        : target.Kind is OffsetTargetKind.Time or OffsetTargetKind.Duration && position.AtTime < 0
        ? "No record is that late: the end of the log."
        : null;

    /// <summary>The sum; at the ends of the numbers it stays there.</summary>
    private static long Add(long offset, long records) =>
        records > 0 && offset > long.MaxValue - records ? long.MaxValue : Math.Max(-1, offset + records);
}
