namespace OrleansMq.Client;

/// <summary>Where in a partition to start reading. There is no default: the start has to be chosen.</summary>
public readonly record struct ReadFrom
{
    private readonly bool _isChosen;

    private ReadFrom(long? offset, OffsetSpec spec)
    {
        _isChosen = true;
        ExactOffset = offset;
        Spec = spec;
    }

    /// <summary>The first available record.</summary>
    public static ReadFrom Earliest { get; } = new(null, OffsetSpec.Earliest);

    /// <summary>The end of the log: only records written later.</summary>
    public static ReadFrom Latest { get; } = new(null, OffsetSpec.Latest);

    /// <summary>Starts at an offset, 0 or above. If the partition does not have it, reading throws
    /// <see cref="OffsetOutOfRangeException"/>.</summary>
    public static ReadFrom Offset(long offset) =>
        offset >= 0 ? new(offset, default) : throw new ArgumentOutOfRangeException(nameof(offset), offset, "An offset is 0 or above.");

    /// <summary>Starts at the first record with this timestamp or a later one; without such a record, at the end of the log.</summary>
    public static ReadFrom Time(DateTimeOffset time) => new(null, OffsetSpec.AtOrAfter(Math.Max(0, time.ToUnixTimeMilliseconds())));

    internal long? ExactOffset { get; }

    internal OffsetSpec Spec { get; }

    internal ReadFrom Chosen =>
        _isChosen ? this : throw new ArgumentException("Choose where to start: ReadFrom.Earliest, Latest, Offset or Time.");

    /// <inheritdoc/>
    public override string ToString() =>
        ExactOffset is { } offset ? $"offset {offset}"
        : Spec == OffsetSpec.Earliest ? "earliest"
        : Spec == OffsetSpec.Latest ? "latest"
        : $"time {Spec.Value}";
}
