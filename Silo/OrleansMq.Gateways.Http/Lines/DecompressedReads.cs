namespace OrleansMq.Gateways.Http.Lines;

/// <summary>
/// Bounds the decompressed records that all reads as lines hold at a time: a read holds a batch until its client has received it, and a
/// batch of a few KB may decompress to 256 MiB. A read for whose batch there is no room ends, to be tried again: the others may take long.
/// Thread safe.
/// </summary>
/// <param name="bytes">The bound. One batch above it has room when no other is held.</param>
internal sealed class DecompressedReads(long bytes)
{
    /// <summary>256 MiB: one of the largest batches.</summary>
    public const long DefaultBytes = 256L << 20;

    /// <summary>A batch of up to so many bytes is not counted: a read holds as much of the log anyway.</summary>
    public const int FreeBytes = 1 << 20;

    private long _used;

    /// <summary>Bytes in use.</summary>
    public long Used => Interlocked.Read(ref _used);

    /// <summary>Takes room for a batch, unless there is too little; to be given back with <see cref="Return"/>.</summary>
    public bool TryTake(int count)
    {
        var used = Interlocked.Add(ref _used, count);
        if (used <= bytes || used == count)
            return true;
        Return(count);
        return false;
    }

    /// <summary>Gives room back.</summary>
    public void Return(int count) => Interlocked.Add(ref _used, -count);
}
