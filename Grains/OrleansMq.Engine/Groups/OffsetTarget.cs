using System.Globalization;

namespace OrleansMq.Groups;

/// <summary>What an offset is set to. In JSON by name.</summary>
public enum OffsetTargetKind
{
    /// <summary>Not known.</summary>
    Unknown = 0,
    /// <summary>The first record there is.</summary>
    Earliest = 1,
    /// <summary>Behind the last record there is: only what comes later is read.</summary>
    Latest = 2,
    /// <summary>What is committed, brought into the log's range.</summary>
    Current = 3,
    /// <summary><see cref="OffsetTarget.Value"/>: an offset from 0.</summary>
    Offset = 4,
    /// <summary>The first record at or after <see cref="OffsetTarget.Value"/>, in milliseconds since 1970.</summary>
    Time = 5,
    /// <summary>The first record that is at most <see cref="OffsetTarget.Value"/> milliseconds old.</summary>
    Duration = 6,
    /// <summary>What is committed, moved by <see cref="OffsetTarget.Value"/> records: back below 0.</summary>
    Shift = 7,
}

/// <summary>Where a group's offset is to go.</summary>
/// <param name="Kind">What it is set to.</param>
/// <param name="Value">What the kind says; 0 where it needs none.</param>
public sealed record OffsetTarget(OffsetTargetKind Kind, long Value = 0)
{
    /// <summary>The first record there is.</summary>
    public static OffsetTarget Earliest { get; } = new(OffsetTargetKind.Earliest);

    /// <summary>Behind the last record there is.</summary>
    public static OffsetTarget Latest { get; } = new(OffsetTargetKind.Latest);

    /// <summary>What is committed, brought into the log's range.</summary>
    public static OffsetTarget Current { get; } = new(OffsetTargetKind.Current);

    /// <summary>An offset from 0.</summary>
    public static OffsetTarget ToOffset(long offset) => new(OffsetTargetKind.Offset, offset);

    /// <summary>The first record at or after a time.</summary>
    public static OffsetTarget ToTime(DateTimeOffset time) => new(OffsetTargetKind.Time, time.ToUnixTimeMilliseconds());

    /// <summary>The first record that is at most so old.</summary>
    public static OffsetTarget ByDuration(TimeSpan age) => new(OffsetTargetKind.Duration, (long)age.TotalMilliseconds);

    /// <summary>What is committed, moved by so many records.</summary>
    public static OffsetTarget ShiftBy(long records) => new(OffsetTargetKind.Shift, records);

    /// <summary>Null where the target makes sense, else what is wrong with it and what is right.</summary>
    public string? Fault => (Kind, Value) switch
    {
        ( < OffsetTargetKind.Earliest or > OffsetTargetKind.Shift, _) =>
            $"The target is '{Kind}'; expected Earliest, Latest, Current, Offset, Time, Duration or Shift.",
        (OffsetTargetKind.Offset, < 0) => $"The target is offset {Value}; an offset is 0 or above.",
        (OffsetTargetKind.Time, < 0) => $"The target is {Value} ms since 1970; a time is 0 or above.",
        (OffsetTargetKind.Duration, < 0) => $"The target is {Value} ms back; a duration is 0 or above.",
        _ => null,
    };

    /// <summary>The time whose first record is looked for; null where the target is no time.</summary>
    /// <param name="now">The time now.</param>
    public long? TimeToFind(DateTimeOffset now) => Kind switch
    {
        OffsetTargetKind.Time => Value,
        OffsetTargetKind.Duration => Math.Max(0, now.ToUnixTimeMilliseconds() - Value),
        _ => null,
    };

    /// <inheritdoc/>
    public override string ToString() => Kind switch
    {
        OffsetTargetKind.Offset => string.Create(CultureInfo.InvariantCulture, $"offset {Value}"),
        OffsetTargetKind.Time => $"time {Value}",
        OffsetTargetKind.Duration => $"{Value} ms back",
        OffsetTargetKind.Shift => string.Create(CultureInfo.InvariantCulture, $"shift by {Value}"),
        _ => Kind.ToString().ToLowerInvariant(),
    };
}
