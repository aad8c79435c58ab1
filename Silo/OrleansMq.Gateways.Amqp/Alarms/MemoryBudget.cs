using System.Diagnostics.CodeAnalysis;

namespace OrleansMq.Gateways.Amqp.Alarms;

/// <summary>
/// The memory of messages: in queues in memory, on their way to the log, and not complete yet. Over its limit publishers are blocked, until
/// a fifth of it is free again: they are not blocked and unblocked with every message.
/// <para>What only its client can finish, a content in part or an open transaction, has at most half of the limit: blocked clients cannot
/// finish, so it alone must not block them. Thread safe.</para>
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
    private long _used;
    private long _unfinished;
    private long _times;
    private volatile bool _isOver;

    /// <summary>Occurs after <see cref="IsOver"/> has changed, on a thread of the pool: callers of <see cref="Add"/> may hold
    /// locks.</summary>
    [SuppressMessage("Design", "CA1003:Use generic event handler instances", Justification = "Internal, without data.")]
    public event Action? Changed;

    /// <summary>The limit in bytes.</summary>
    public long Limit => limit;

    /// <summary>The bytes in use.</summary>
    public long Used => Interlocked.Read(ref _used);

    /// <summary>Those of them that only their clients can finish.</summary>
    public long Unfinished => Interlocked.Read(ref _unfinished);

    /// <summary>How often it was over its limit.</summary>
    public long TimesOver => Interlocked.Read(ref _times);

    /// <summary>Whether publishers are to be blocked.</summary>
    public bool IsOver => _isOver;

    /// <summary>Returns the limit for a broker that is not told one: a quarter of the memory that the process may use.</summary>
    public static long DefaultLimit() => Math.Max(GC.GetGCMemoryInfo().TotalAvailableMemoryBytes / 4, LeastLimit);

    /// <summary>Counts bytes; those that are given back are below 0.</summary>
    public void Add(long bytes)
    {
        var used = Interlocked.Add(ref _used, bytes);
        if (IsOverAt(used, _isOver) != _isOver)
            Change();
    }

    /// <summary>Counts bytes that only their client can finish; those that are given back are below 0.</summary>
    /// <returns>Whether there is room for them. If not, they are counted, and their connection has to end.</returns>
    public bool AddUnfinished(long bytes)
    {
        var unfinished = Interlocked.Add(ref _unfinished, bytes);
        Add(bytes);
        return bytes <= 0 || unfinished <= limit / 2;
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
