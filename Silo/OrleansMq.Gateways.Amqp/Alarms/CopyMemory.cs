namespace OrleansMq.Gateways.Amqp.Alarms;

/// <summary>
/// The memory of all connections for copies of messages that their queues have, too: of those that clients have not read yet, or of those
/// that may become dead letters. A copy without room is read from its queue again when it is needed. Thread safe.
/// </summary>
/// <param name="limit">The limit in bytes, without what each connection may always have.</param>
internal sealed class CopyMemory(long limit)
{
    private long _used;

    /// <summary>The most that one connection may have beyond its own: a quarter, so that none takes all.</summary>
    public long MostOfOne => limit / 4;

    /// <summary>The bytes in use.</summary>
    public long Used => Interlocked.Read(ref _used);

    /// <summary>The bytes that are left.</summary>
    public long Left => Math.Max(limit - Used, 0);

    /// <summary>Takes bytes. Returns whether there was room.</summary>
    public bool TryTake(long bytes)
    {
        if (Interlocked.Add(ref _used, bytes) <= limit)
            return true;
        Give(bytes);
        return false;
    }

    /// <summary>Gives bytes back.</summary>
    public void Give(long bytes) => Interlocked.Add(ref _used, -bytes);
}

/// <summary>The copies that one connection has in memory. Thread safe.</summary>
/// <param name="all">The memory of all connections.</param>
internal sealed class ConnectionCopies(CopyMemory all)
{
    /// <summary>What a connection may have whatever others have: 1 MiB.</summary>
    public const int Own = 1 << 20;

    /// <summary>The most that a connection may have beyond its own: 31 MiB, or <see cref="CopyMemory.MostOfOne"/>.</summary>
    public const int MostBeyondOwn = 31 << 20;

    private readonly Lock _lock = new();
    private readonly long _most = Own + Math.Min(MostBeyondOwn, all.MostOfOne);
    private long _bytes;
    private bool _hasEnded;

    /// <summary>What it may have now, together with what it has.</summary>
    public long Allowed
    {
        get
        {
            lock (_lock)
            {
                var without = Math.Max(_bytes, Own);
                return without + Math.Min(_most - without, all.Left);
            }
        }
    }

    /// <summary>Takes bytes for a copy. Returns whether there was room.</summary>
    public bool TryTake(int bytes)
    {
        lock (_lock)
        {
            var next = _bytes + bytes;
            var shared = BeyondOwn(next) - BeyondOwn(_bytes);
            if (_hasEnded || next > _most || (shared > 0 && !all.TryTake(shared)))
                return false;
            _bytes = next;
            return true;
        }
    }

    /// <summary>Gives bytes back that it has taken.</summary>
    public void Give(int bytes)
    {
        if (bytes == 0)
            return;
        lock (_lock)
        {
            if (_hasEnded)
                return;
            all.Give(BeyondOwn(_bytes) - BeyondOwn(_bytes - bytes));
            _bytes -= bytes;
        }
    }

    /// <summary>The connection ends: it gives back what it has, and takes no more.</summary>
    public void End()
    {
        lock (_lock)
        {
            if (_hasEnded)
                return;
            _hasEnded = true;
            all.Give(BeyondOwn(_bytes));
        }
    }

    private static long BeyondOwn(long bytes) => Math.Max(bytes - Own, 0);
}
