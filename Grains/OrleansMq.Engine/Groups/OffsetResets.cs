namespace OrleansMq.Groups;

/// <summary>The facts about a partition whose offset is to be reset.</summary>
/// <param name="Partition">The partition.</param>
/// <param name="TopicId">The topic's id.</param>
/// <param name="Committed">The group's committed offset; null for none.</param>
/// <param name="LogStartOffset">The first readable offset.</param>
/// <param name="HighWatermark">The first offset that is not readable yet.</param>
/// <param name="AtTime">For a target time, the first offset at or after it; -1 if no record has such a late timestamp.</param>
internal sealed record ResetPosition(TopicPartition Partition, Guid TopicId, long? Committed, long LogStartOffset, long HighWatermark,
    long AtTime = -1);

/// <summary>Plans resets of offsets. Pure.</summary>
internal static class OffsetResets
{
    /// <summary>Plans the reset of one partition. The result always lies within the log: a target outside is moved to the nearer end, and
    /// the note tells that.</summary>
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

    /// <summary>Adds with saturation.</summary>
    private static long Add(long offset, long records) =>
        records > 0 && offset > long.MaxValue - records ? long.MaxValue : Math.Max(-1, offset + records);
}
