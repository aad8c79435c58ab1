using OrleansMq.Gateways.Amqp.Connections;
using OrleansMq.Gateways.Amqp.Wire;

namespace OrleansMq.Gateways.Amqp.Alarms;

/// <summary>
/// What only the client of one connection can finish: contents that arrived in part, and open transactions. Where all connections have too
/// much of it, the connection that has the most ends, of the user that has the most. Thread safe; its lock is the connection's own.
/// </summary>
/// <param name="memory">The memory of messages.</param>
/// <param name="client">The connection's client.</param>
/// <param name="end">Ends the connection with an error. Called on a thread of the pool.</param>
internal sealed class UnfinishedBytes(MemoryBudget memory, AmqpClient client, Action<AmqpException>? end) : IDisposable
{
    private readonly Lock _lock = new();
    private long _bytes;
    private int _isListed;
    private bool _isEnding;

    /// <summary>The connection's user.</summary>
    public string User => client.User;

    /// <summary>The bytes that count; 0 where the connection ends.</summary>
    public long Counted
    {
        get
        {
            lock (_lock)
                return _isEnding ? 0 : _bytes;
        }
    }

    /// <summary>Counts bytes; those that are given back are below 0.</summary>
    /// <returns>Whether there is room for them. If not, they are counted, and the connection has to end.</returns>
    public bool Add(long bytes)
    {
        if (_isListed == 0 && Interlocked.Exchange(ref _isListed, 1) == 0)
            memory.Add(this);
        bool isEnding;
        lock (_lock)
        {
            _bytes += bytes;
            isEnding = _isEnding;
            if (!isEnding)
                memory.AddUnfinished(bytes);
        }
        memory.Add(bytes);
        return bytes <= 0 || (!isEnding && memory.HasRoomFor(this));
    }

    /// <summary>The connection has to end: what it has counts as given back.</summary>
    public void Leave()
    {
        lock (_lock)
        {
            if (!_isEnding)
                memory.AddUnfinished(-_bytes);
            _isEnding = true;
        }
    }

    /// <summary>Ends the connection. Returns at once.</summary>
    public void End() => ThreadPool.UnsafeQueueUserWorkItem(static one => one.EndConnection(), this, preferLocal: false);

    /// <summary>The error of a connection that has to end.</summary>
    /// <param name="method">The command; default for none.</param>
    public AmqpException Fault(MethodId method = default) => new(ReplyCode.ResourceError, $"transactions and incomplete messages of all "
        + $"connections have the {memory.Limit / 2} bytes that are allowed, and this connection has the most of them: commit more often, "
        + "publish fewer large messages at a time, or raise --amqp-memory", method);

    /// <summary>The connection has ended.</summary>
    public void Dispose() => memory.Remove(this);

    private void EndConnection() => end?.Invoke(Fault());
}
