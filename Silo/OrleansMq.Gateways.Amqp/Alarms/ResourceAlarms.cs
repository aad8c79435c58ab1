using OrleansMq.Diagnostics;

namespace OrleansMq.Gateways.Amqp.Alarms;

/// <summary>A connection, as alarms know it.</summary>
internal interface IAlarmed
{
    /// <summary><see cref="ResourceAlarms.Reason"/> has changed. Does not throw.</summary>
    void AlarmChanged();
}

/// <summary>
/// Why publishers are blocked: the memory of messages is used up, or the volume of the data is nearly full, which is looked at once a
/// second. Every connection is told of each change, and asks for the newest reason. A connection may have looked at the memory itself and
/// blocked before: it is told of each change of the memory, also where the reason is the same again. Thread safe.
/// </summary>
internal sealed class ResourceAlarms : IAsyncDisposable
{
    private static readonly TimeSpan Period = TimeSpan.FromSeconds(1);

    private readonly Lock _lock = new();
    private readonly HashSet<IAlarmed> _connections = [];
    private readonly Func<bool> _isDiskShort;
    private readonly RareLine _blocked;
    private readonly ITimer _timer;
    // What connections were told last.
    private string? _told;
    private bool _wasShort;
    private long _timesShort;

    /// <param name="memory">The memory of messages.</param>
    /// <param name="isDiskShort">Whether the volume of the data is nearly full.</param>
    /// <param name="time">The clock.</param>
    /// <param name="log">The log.</param>
    public ResourceAlarms(MemoryBudget memory, Func<bool> isDiskShort, TimeProvider time, EngineLog log)
    {
        (Memory, _isDiskShort, _blocked) = (memory, isDiskShort, new RareLine(log, time));
        memory.Changed += MemoryChanged;
        _timer = time.CreateTimer(_ => Check(isMemory: false), null, Period, Period);
    }

    /// <summary>The memory of messages.</summary>
    public MemoryBudget Memory { get; }

    /// <summary>The reason in RabbitMQ's words; null: publishers are not blocked. It follows the memory at once, before connections are
    /// told.</summary>
    public string? Reason => (Memory.IsOver, IsDiskShort) switch
    {
        (true, true) => $"{MemoryBudget.Reason} & low on disk",
        (true, false) => MemoryBudget.Reason,
        (false, true) => "low on disk",
        _ => null,
    };

    /// <summary>Whether publishers are blocked for the data volume, as of the last look at it.</summary>
    public bool IsDiskShort => Volatile.Read(ref _wasShort);

    /// <summary>How often publishers were blocked.</summary>
    public long Count => Memory.TimesOver + Interlocked.Read(ref _timesShort);

    /// <summary>Adds a connection.</summary>
    public void Add(IAlarmed connection)
    {
        lock (_lock)
            _connections.Add(connection);
        connection.AlarmChanged();
    }

    /// <summary>Removes a connection.</summary>
    public void Remove(IAlarmed connection)
    {
        lock (_lock)
            _connections.Remove(connection);
    }

    /// <inheritdoc/>
    public async ValueTask DisposeAsync()
    {
        Memory.Changed -= MemoryChanged;
        await _timer.DisposeAsync().ConfigureAwait(false);
    }

    private void MemoryChanged() => Check(isMemory: true);

    private void Check(bool isMemory)
    {
        IAlarmed[] connections;
        string? reason;
        lock (_lock)
        {
            var isShort = _isDiskShort();
            _timesShort += isShort && !_wasShort ? 1 : 0;
            Volatile.Write(ref _wasShort, isShort);
            reason = Reason;
            if (reason == _told && !isMemory)
                return;
            _told = reason;
            connections = [.. _connections];
        }
        if (reason is not null)
            _blocked.Write(EngineLogLevel.Warning, $"AMQP publishers are blocked: {reason}. Messages have {Memory.Used >> 20} MiB of the "
                + $"{Memory.Limit >> 20} MiB that they may have in memory. Consume or purge queues that are not durable, or free disk "
                + "space.");
        foreach (var connection in connections)
            connection.AlarmChanged();
    }
}
