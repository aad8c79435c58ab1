namespace OrleansMq.Gateways.Connections;

/// <summary>
/// How much of a file a connection reads at once to send it. Large pieces are the rule, since each send may wake the client. Once many
/// connections hold a large piece, further ones get small pieces: slow clients would keep the memory. Thread safe.
/// </summary>
internal sealed class PieceSizes
{
    /// <summary>The size of a large piece, in bytes.</summary>
    public const int LargeBytes = 2 << 20;

    /// <summary>The size of a small piece, in bytes, which is always available.</summary>
    public const int SmallBytes = 256 << 10;

    private const int MaxLarge = 32;

    private int _large;

    /// <summary>Returns how much a connection may read at once, until it calls <see cref="Return"/>.</summary>
    public int Take()
    {
        if (Interlocked.Increment(ref _large) <= MaxLarge)
            return LargeBytes;
        Interlocked.Decrement(ref _large);
        return SmallBytes;
    }

    /// <summary>Returns a piece once it is sent.</summary>
    public void Return(int taken)
    {
        if (taken == LargeBytes)
            Interlocked.Decrement(ref _large);
    }
}
