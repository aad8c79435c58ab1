using OrleansMq.Api;

namespace OrleansMq.Client;

/// <summary>Where in a partition to start reading. There is no default: the start must be chosen.</summary>
public readonly record struct ReadFrom
{
    private readonly bool _isChosen;

    private ReadFrom(long? offset, OffsetSpec spec)
    {
        _isChosen = true;
        ExactOffset = offset;
        Spec = spec;
    }

    /// <summary>The first record there is.</summary>
    public static ReadFrom Earliest { get; } = new(null, OffsetSpec.Earliest);

    /// <summary>Behind the last record there is: only what comes later.</summary>
    public static ReadFrom Latest { get; } = new(null, OffsetSpec.Latest);

    /// <summary>An offset, 0 or above. One that the partition does not have is an <see cref="OffsetOutOfRangeException"/> when it is
    /// read.</summary>
    public static ReadFrom Offset(long offset) =>
        offset >= 0 ? new(offset, default) : throw new ArgumentOutOfRangeException(nameof(offset), offset, "An offset is 0 or above.");

    /// <summary>The first record with that timestamp or a later one; behind the last record, where none is that late.</summary>
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
