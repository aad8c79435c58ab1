namespace OrleansMq.Records;

/// <summary>Admits one batch at a time that takes more than <see cref="MinBytes"/> to decompress, so that many of them take the memory of
/// one. The others are refused, to be tried again: a thread that waited would be one less for everything else. Thread safe.</summary>
internal sealed class LargeBatches
{
    /// <summary>What takes more needs the turn.</summary>
    public const int MinBytes = 16 << 20;

    private int _isTaken;

    private LargeBatches()
    {
    }

    /// <summary>The turn of appends.</summary>
    public static LargeBatches Appends { get; } = new();

    /// <summary>The turn of reads, which keep no append waiting.</summary>
    public static LargeBatches Reads { get; } = new();

    /// <summary>Decompresses a batch that needs no turn.</summary>
    /// <returns>False for one that takes more.</returns>
    /// <exception cref="RecordBatchException">It is not readable at all.</exception>
    public static bool TryDecompressSmall(ICompressionCodec codec, ReadOnlySpan<byte> payload, PooledBuffer plain)
    {
        if (codec.WindowOf(payload) > MinBytes)
            return false;
        try
        {
            codec.Decompress(payload, plain, MinBytes);
            return true;
        }
        catch (RecordBatchException fault) when (fault.Error == RecordBatchError.TooLong)
        {
            return false;
        }
    }

    /// <summary>Takes the turn; to be given back with <see cref="Exit"/>.</summary>
    /// <exception cref="RecordBatchException"><see cref="RecordBatchError.Busy"/>.</exception>
    public void Enter()
    {
        if (Interlocked.Exchange(ref _isTaken, 1) != 0)
            throw new RecordBatchException(RecordBatchError.Busy, $"The batch takes more than {MinBytes >> 20} MiB to decompress, and "
                + "another such batch is being decompressed. Nothing was done; retry, or send smaller batches.");
    }

    /// <summary>Gives the turn back.</summary>
    public void Exit() => Volatile.Write(ref _isTaken, 0);
}
