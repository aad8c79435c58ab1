namespace OrleansMq.Records;

/// <summary>
/// Bounds what the batches of one request decompress to in all. A batch has a bound of its own
/// (<see cref="RecordBatches.MaxDecompressedSize"/>), but a request may hold thousands of small batches that each decompress to that.
/// Not thread-safe.
/// </summary>
/// <param name="bytes">The bound. The batch that exceeds it is refused, as are those after it.</param>
internal sealed class DecompressionAllowance(long bytes)
{
    private long _taken;

    /// <summary>Counts decompressed bytes, and refuses to go on above the bound.</summary>
    /// <exception cref="RecordBatchException"><see cref="RecordBatchError.TooMuch"/>.</exception>
    internal void Take(int count)
    {
        Count(count);
        Check();
    }

    /// <summary>Counts decompressed bytes, also of a batch that is refused for another reason.</summary>
    internal void Count(int count) => _taken += count;

    /// <summary>To be called before more is decompressed.</summary>
    /// <exception cref="RecordBatchException"><see cref="RecordBatchError.TooMuch"/>.</exception>
    internal void Check()
    {
        if (_taken > bytes)
            throw new RecordBatchException(RecordBatchError.TooMuch,
                $"The batches of the request decompress to more than {bytes >> 20} MiB in all; send fewer in one request.");
    }
}
