namespace OrleansMq.Records;

/// <summary>Admits one batch at a time that takes more than <see cref="MinBytes"/> to decompress, so that many of them take the memory of
/// one. The others are refused, to be tried again: a thread that waited would be one less for everything else. A batch that is tried again
/// and again has the next turn before all others, which would else take every turn from between its attempts. Thread safe.</summary>
/// <param name="time">The clock.</param>
internal sealed class LargeBatches(TimeProvider time)
{
    /// <summary>What takes more needs the turn.</summary>
    public const int MinBytes = 16 << 20;

    /// <summary>The attempts after which a refused batch is waited for: it is not one that its sender has given up.</summary>
    public const int Persistent = 3;
    /// <summary>How long a refused batch competes with all others.</summary>
    public static readonly TimeSpan Competes = TimeSpan.FromSeconds(1);
    /// <summary>How long a refused batch keeps its place without another attempt: clients pause a second at most.</summary>
    public static readonly TimeSpan Kept = TimeSpan.FromSeconds(3);

    private const int MostRefused = 1_000;

    private readonly Lock _lock = new();
    // In the order of their first attempts.
    private readonly List<Refused> _refused = [];
    private bool _isTaken;

    /// <summary>The turn of appends.</summary>
    public static LargeBatches Appends { get; } = new(TimeProvider.System);

    /// <summary>The turn of reads, which keep no append waiting.</summary>
    public static LargeBatches Reads { get; } = new(TimeProvider.System);

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
    /// <param name="batch">The batch's CRC, by which another attempt is recognised.</param>
    /// <exception cref="RecordBatchException"><see cref="RecordBatchError.Busy"/>.</exception>
    public void Enter(uint batch)
    {
        lock (_lock)
        {
            var now = time.GetTimestamp();
            _refused.RemoveAll(one => time.GetElapsedTime(one.Last, now) > Kept);
            var place = _refused.FindIndex(one => one.Batch == batch);
            var first = _refused.FindIndex(one => one.Attempts >= Persistent && time.GetElapsedTime(one.Since, now) >= Competes);
            if (!_isTaken && (first < 0 || first == place))
            {
                _isTaken = true;
                if (place >= 0)
                    _refused.RemoveAt(place);
                return;
            }
            if (place >= 0)
                _refused[place] = _refused[place] with { Last = now, Attempts = _refused[place].Attempts + 1 };
            else if (_refused.Count < MostRefused)
                _refused.Add(new Refused(batch, now, now, Attempts: 1));
        }
        throw new RecordBatchException(RecordBatchError.Busy, $"The batch takes more than {MinBytes >> 20} MiB to decompress, and "
            + "another such batch is being decompressed, or is next. Nothing was done; retry, or send smaller batches.");
    }

    /// <summary>Gives the turn back.</summary>
    public void Exit()
    {
        lock (_lock)
            _isTaken = false;
    }

    private readonly record struct Refused(uint Batch, long Since, long Last, int Attempts);
}
