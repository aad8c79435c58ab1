namespace OrleansMq.Client;

/// <summary>How many bytes a scan may read. Partitions share them evenly, one after the other: what one leaves goes to those after
/// it.</summary>
/// <param name="bytes">The bytes.</param>
/// <param name="partitions">How many partitions share them.</param>
internal sealed class ByteBudget(long bytes, int partitions)
{
    private long _all = bytes;
    private int _partitions = partitions;

    /// <summary>What is left for the partition that is being read.</summary>
    public long Left { get; private set; }

    /// <summary>Begins the next partition.</summary>
    public void Begin() => Left = _all / Math.Max(1, _partitions--);

    /// <summary>Counts bytes that were fetched or decompressed. A batch is read whole, and may have more than were left.</summary>
    public void Spend(long bytes)
    {
        _all = Math.Max(0, _all - bytes);
        Left = Math.Max(0, Left - bytes);
    }
}
