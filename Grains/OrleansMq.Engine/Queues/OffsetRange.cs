namespace OrleansMq.Queues;

/// <summary>A run of offsets, both ends included.</summary>
/// <param name="First">The first offset.</param>
/// <param name="Last">The last offset; at least <paramref name="First"/>.</param>
internal readonly record struct OffsetRange(long First, long Last)
{
    /// <summary>The number of offsets.</summary>
    public long Count => Last - First + 1;

    /// <summary>The range of one offset.</summary>
    public static OffsetRange Of(long offset) => new(offset, offset);
}
