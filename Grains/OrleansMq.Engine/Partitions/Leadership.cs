namespace OrleansMq.Partitions;

/// <summary>One leadership of a partition on this broker; every leadership is another object.</summary>
/// <param name="epoch">The leader epoch.</param>
internal sealed class Leadership(int epoch)
{
    /// <summary>The leader epoch.</summary>
    public int Epoch { get; } = epoch;
}
