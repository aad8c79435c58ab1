namespace OrleansMq.Gateways.Kafka.Connections;

/// <summary>
/// How much of a file a connection reads at once to send it: much, since each send may have to wake the client, unless many are at it
/// already, whose clients may be slow to take it.
/// </summary>
internal sealed class PieceSizes
{
    /// <summary>The most.</summary>
    public const int LargeBytes = 2 << 20;

    /// <summary>What is always to be had.</summary>
    public const int SmallBytes = 256 << 10;

    private const int MaxLarge = 32;

    private int _large;

    /// <summary>How much one may read at once, until it calls <see cref="Return"/>.</summary>
    public int Take()
    {
        if (Interlocked.Increment(ref _large) <= MaxLarge)
            return LargeBytes;
        Interlocked.Decrement(ref _large);
        return SmallBytes;
    }

    /// <summary>All is sent.</summary>
    public void Return(int taken)
    {
        if (taken == LargeBytes)
            Interlocked.Decrement(ref _large);
    }
}
