using System.Diagnostics.CodeAnalysis;

namespace OrleansMq.Gateways.Amqp.Alarms;

/// <summary>
/// The memory of messages: in queues in memory, on their way to the log, and not complete yet. Over its limit publishers are blocked, until
/// a fifth of it is free again: they are not blocked and unblocked with every message.
/// <para>What only its client can finish, a content in part or an open transaction, has at most half of the limit: blocked clients cannot
/// finish, so it alone must not block them. Beyond that the connection ends that has the most of it, see <see cref="UnfinishedBytes"/>:
/// one client must not have others refused.</para>
/// <para>What waits for queues of other brokers counts, and blocks publishers, but does not keep messages of other brokers out: two brokers
/// that are over their limits with messages for each other would wait for each other. See <see cref="TakesFromOthers"/>. Thread
/// safe.</para>
/// </summary>
/// <param name="limit">The limit in bytes.</param>
internal sealed class MemoryBudget(long limit)
{
    /// <summary>The least limit in bytes: 64 MiB, some of the largest messages.</summary>
    public const long LeastLimit = 64L << 20;

    /// <summary>What blocked publishers are told, in RabbitMQ's words.</summary>
    public const string Reason = "low on memory";

    // Publishers go on below it.
    private readonly long _resumeAt = limit / 5 * 4;
    private readonly Lock _lock = new();
    // Those that have had bytes that only their clients can finish.
    private readonly HashSet<UnfinishedBytes> _connections = [];
    private long _used;
    private long _held;
    private long _unfinished;
    private long _times;
    private volatile bool _isOver;

    /// <summary>Occurs after <see cref="IsOver"/> has changed, on a thread of the pool: callers of <see cref="Add(long)"/> may hold
    /// locks.</summary>
    [SuppressMessage("Design", "CA1003:Use generic event handler instances", Justification = "Internal, without data.")]
    public event Action? Changed;

    /// <summary>The limit in bytes.</summary>
    public long Limit => limit;

    /// <summary>The bytes in use.</summary>
    public long Used => Interlocked.Read(ref _used);

    /// <summary>Those of them that queues in memory hold, with their dead letters that are not stored yet.</summary>
    public long Held => Interlocked.Read(ref _held);

    /// <summary>Those of them that only their clients can finish, without those of connections that have to end.</summary>
    public long Unfinished => Interlocked.Read(ref _unfinished);

    /// <summary>How often it was over its limit.</summary>
    public long TimesOver => Interlocked.Read(ref _times);

    /// <summary>Whether publishers are to be blocked.</summary>
    public bool IsOver => _isOver;

    /// <summary>Whether queues in memory are to take messages of other brokers: over the limit, too, while they hold at most half of it. So
    /// those messages take the memory to one and a half times the limit at most, with what is on its way.</summary>
    public bool TakesFromOthers => !_isOver || Held <= limit / 2;

    /// <summary>Returns the limit for a broker that is not told one: a quarter of the memory that the process may use.</summary>
    public static long DefaultLimit() => Math.Max(GC.GetGCMemoryInfo().TotalAvailableMemoryBytes / 4, LeastLimit);

    /// <summary>Counts bytes; those that are given back are below 0.</summary>
    public void Add(long bytes)
    {
        var used = Interlocked.Add(ref _used, bytes);
        if (IsOverAt(used, _isOver) != _isOver)
            Change();
    }

    /// <summary>Counts bytes that queues in memory hold; those that are given back are below 0.</summary>
    public void AddHeld(long bytes)
    {
        Interlocked.Add(ref _held, bytes);
        Add(bytes);
    }

    /// <summary>Counts bytes among those that only their clients can finish, apart from <see cref="Add(long)"/>.</summary>
    public void AddUnfinished(long bytes) => Interlocked.Add(ref _unfinished, bytes);

    /// <summary>Adds a connection that may have bytes that only its client can finish.</summary>
    public void Add(UnfinishedBytes connection)
    {
        lock (_connections)
            _connections.Add(connection);
    }

    /// <summary>Removes a connection.</summary>
    public void Remove(UnfinishedBytes connection)
    {
        lock (_connections)
            _connections.Remove(connection);
    }

    /// <summary>Whether what only clients can finish has room, at the cost of connections that have more than this one.</summary>
    /// <returns>Whether it has. If not, the connection has to end.</returns>
    public bool HasRoomFor(UnfinishedBytes connection)
    {
        if (Unfinished <= limit / 2)
            return true;
        lock (_connections)
        {
            while (Unfinished > limit / 2)
            {
                var most = MostOf(connection);
                most.Leave();
                if (most == connection)
                    return false;
                most.End();
            }
        }
        return true;
    }

    // Under the lock of the connections. Of equal ones the one that asks.
    private UnfinishedBytes MostOf(UnfinishedBytes asking)
    {
        var users = new Dictionary<string, (long Bytes, UnfinishedBytes Most, long MostBytes)>();
        Take(asking);
        foreach (var other in _connections)
        {
            if (other != asking)
                Take(other);
        }
        var (most, mostBytes) = (asking, users[asking.User].Bytes);
        foreach (var (bytes, connection, _) in users.Values)
        {
            if (bytes > mostBytes)
                (most, mostBytes) = (connection, bytes);
        }
        return most == asking ? users[asking.User].Most : most;

        void Take(UnfinishedBytes connection)
        {
            var bytes = connection.Counted;
            users[connection.User] = users.TryGetValue(connection.User, out var user)
                ? (user.Bytes + bytes, bytes > user.MostBytes ? connection : user.Most, Math.Max(bytes, user.MostBytes))
                : (bytes, connection, bytes);
        }
    }

    private bool IsOverAt(long used, bool isOver) => used > limit || (isOver && used > _resumeAt);

    // The bytes are read again after each change: a caller that did not see the change has counted before that. A change that is taken back
    // at once is one, too: connections may have seen it.
    private void Change()
    {
        var hasChanged = false;
        lock (_lock)
        {
            for (var isOver = _isOver; IsOverAt(Used, isOver) != isOver; hasChanged = true)
            {
                _isOver = isOver = !isOver;
                _times += isOver ? 1 : 0;
                Interlocked.MemoryBarrier();
            }
        }
        if (hasChanged)
            ThreadPool.UnsafeQueueUserWorkItem(static budget => budget.Changed?.Invoke(), this, preferLocal: false);
    }
}
