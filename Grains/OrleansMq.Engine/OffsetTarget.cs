using System.Globalization;

namespace OrleansMq;

/// <summary>What an offset is reset to. Serialized to JSON by name.</summary>
public enum OffsetTargetKind
{
    /// <summary>Unknown.</summary>
    Unknown = 0,
    /// <summary>The first available record.</summary>
    Earliest = 1,
    /// <summary>The end of the log: only later records are read.</summary>
    Latest = 2,
    /// <summary>The committed offset, moved into the log's range.</summary>
    Current = 3,
    /// <summary><see cref="OffsetTarget.Value"/>: an offset from 0.</summary>
    Offset = 4,
    /// <summary>The first record at or after <see cref="OffsetTarget.Value"/>, in milliseconds since 1970.</summary>
    Time = 5,
    /// <summary>The first record that is not older than <see cref="OffsetTarget.Value"/> milliseconds.</summary>
    Duration = 6,
    /// <summary>The committed offset plus <see cref="OffsetTarget.Value"/> records, which may be negative.</summary>
    Shift = 7,
}

/// <summary>The target of a reset.</summary>
/// <param name="Kind">The kind of target.</param>
/// <param name="Value">The value of that kind; 0 if it needs none.</param>
public sealed record OffsetTarget(OffsetTargetKind Kind, long Value = 0)
{
    /// <summary>The first available record.</summary>
    public static OffsetTarget Earliest { get; } = new(OffsetTargetKind.Earliest);

    /// <summary>The end of the log.</summary>
    public static OffsetTarget Latest { get; } = new(OffsetTargetKind.Latest);

    /// <summary>The committed offset, moved into the log's range.</summary>
    public static OffsetTarget Current { get; } = new(OffsetTargetKind.Current);

    /// <summary>Creates a target for an offset from 0.</summary>
    public static OffsetTarget ToOffset(long offset) => new(OffsetTargetKind.Offset, offset);

    /// <summary>Creates a target for the first record at or after a time.</summary>
    public static OffsetTarget ToTime(DateTimeOffset time) => new(OffsetTargetKind.Time, time.ToUnixTimeMilliseconds());

    /// <summary>Creates a target for the first record that is not older than an age.</summary>
    public static OffsetTarget ByDuration(TimeSpan age) => new(OffsetTargetKind.Duration, (long)age.TotalMilliseconds);

    /// <summary>Creates a target relative to the committed offset, in records.</summary>
    public static OffsetTarget ShiftBy(long records) => new(OffsetTargetKind.Shift, records);

    /// <summary>What is wrong with the target and what is allowed; null for a valid target.</summary>
    public string? Fault => (Kind, Value) switch
    {
        ( < OffsetTargetKind.Earliest or > OffsetTargetKind.Shift, _) =>
            $"The target is '{Kind}'; expected Earliest, Latest, Current, Offset, Time, Duration or Shift.",
        (OffsetTargetKind.Offset, < 0) => $"The target is offset {Value}; an offset is 0 or above.",
        (OffsetTargetKind.Time, < 0) => $"The target is {Value} ms since 1970; a time is 0 or above.",
        (OffsetTargetKind.Duration, < 0) => $"The target is {Value} ms back; a duration is 0 or above.",
        _ => null,
    };

    /// <summary>Returns the time to look up; null if the target is not a time.</summary>
    /// <param name="now">The current time.</param>
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
