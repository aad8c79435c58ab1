namespace OrleansMq.Gateways.Amqp.Channels;

/// <summary>The messages that a connection's channels keep for dead letters while the client holds them. One that does not fit is read
/// again where it becomes a dead letter. Thread safe.</summary>
/// <param name="limit">The most bytes.</param>
internal sealed class KeptBytes(long limit)
{
    private long _used;

    /// <summary>The bytes that are kept.</summary>
    public long Used => Interlocked.Read(ref _used);

    /// <summary>Keeps a message; false where it does not fit.</summary>
    public bool TryKeep(int bytes)
    {
        if (Interlocked.Add(ref _used, bytes) <= limit)
            return true;
        Return(bytes);
        return false;
    }

    /// <summary>A message is kept no more.</summary>
    public void Return(int bytes) => Interlocked.Add(ref _used, -bytes);
}
