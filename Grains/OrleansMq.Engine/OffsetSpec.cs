namespace OrleansMq;

/// <summary>Which offset to look up.</summary>
/// <param name="Value">A timestamp in milliseconds since 1970, one of the negative values that Kafka's ListOffsets defines, or as
/// <see cref="AtOffset"/> encodes it.</param>
public readonly record struct OffsetSpec(long Value)
{
    /// <summary>For what reader: the log of a <see cref="IsolationLevel.ReadCommitted"/> reader ends at the last stable offset instead of
    /// the high watermark. <see cref="IsolationLevel.ReadUncommitted"/> unless set. Where a queue begins it makes no difference.</summary>
    public IsolationLevel Isolation { get; init; }

    /// <summary>The log start offset.</summary>
    public static readonly OffsetSpec Earliest = new(-2);
    /// <summary>The high watermark; for a <see cref="IsolationLevel.ReadCommitted"/> reader, the last stable offset.</summary>
    public static readonly OffsetSpec Latest = new(-1);
    /// <summary>The offset of the record with the largest timestamp (KIP-734).</summary>
    public static readonly OffsetSpec MaxTimestamp = new(-3);
    /// <summary>The high watermark, after which no leader answers a lower one to the same lookup. The leader refuses it with
    /// <see cref="ErrorCode.OffsetNotAvailable"/> while an earlier leader may still hold its lease, and while eligible replicas outside the
    /// ISR may have replaced it unnoticed.</summary>
    public static readonly OffsetSpec LatestProven = new(long.MinValue + MostOffset + 1);
    /// <summary>Finds the first record with a timestamp at or after <paramref name="timestamp"/>, in milliseconds since 1970.</summary>
    public static OffsetSpec AtOrAfter(long timestamp) => new(timestamp);

    /// <summary>Names an offset itself, at which a queue is to begin. Lookups of offsets refuse it.</summary>
    /// <param name="offset">The offset, 0 to 2^62.</param>
    public static OffsetSpec AtOffset(long offset)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(offset);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(offset, MostOffset);
        return new(long.MinValue + offset);
    }

    /// <summary>The offset that <see cref="AtOffset"/> names; null for any other.</summary>
    public long? Offset => Value <= long.MinValue + MostOffset ? Value - long.MinValue : null;

    /// <summary>Whether this looks up the same as another one, for whatever reader.</summary>
    internal bool IsAt(OffsetSpec other) => Value == other.Value;

    // Far from the values of Kafka.
    private const long MostOffset = 1L << 62;
}
