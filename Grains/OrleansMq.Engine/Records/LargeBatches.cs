namespace OrleansMq.Records;

/// <summary>Admits one batch at a time that takes more than <see cref="MinBytes"/> to decompress, so that many of them take the memory of
/// one. The others are refused and sent again: a thread that waited would be one less for everything else.</summary>
internal static class LargeBatches
{
    /// <summary>What takes more needs the turn.</summary>
    public const int MinBytes = 16 << 20;

    private static int _isTaken;

    /// <summary>Takes the turn; to be given back with <see cref="Exit"/>.</summary>
    /// <exception cref="RecordBatchException"><see cref="RecordBatchError.Busy"/>.</exception>
    public static void Enter()
    {
        if (Interlocked.Exchange(ref _isTaken, 1) != 0)
            throw new RecordBatchException(RecordBatchError.Busy, $"The batch takes more than {MinBytes >> 20} MiB to decompress, and "
                + "another such batch is being decompressed. Nothing was appended; retry, or send smaller batches.");
    }

    /// <summary>Gives the turn back.</summary>
    public static void Exit() => Volatile.Write(ref _isTaken, 0);
}
