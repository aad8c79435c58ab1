using OrleansMq.Gateways.Amqp.Queues;

namespace OrleansMq.Gateways.Amqp.Metrics;

/// <summary>What channels count.</summary>
internal enum MessageCount
{
    /// <summary>Messages that clients published.</summary>
    Received,
    /// <summary>Those of them on channels that confirm.</summary>
    ReceivedConfirm,
    /// <summary>Publishes that were confirmed.</summary>
    Confirmed,
    /// <summary>Copies to queues; one for a direct reply, or a message that an exchange delays.</summary>
    Routed,
    /// <summary>Messages without a queue that were returned.</summary>
    UnroutableReturned,
    /// <summary>Messages without a queue that were dropped.</summary>
    UnroutableDropped,
    /// <summary>Deliveries to consumers that do not acknowledge.</summary>
    ConsumedAutoAck,
    /// <summary>Deliveries to consumers that acknowledge.</summary>
    ConsumedManualAck,
    /// <summary>Messages that were got and count as acknowledged.</summary>
    GotAutoAck,
    /// <summary>Messages that were got and are to be acknowledged.</summary>
    GotManualAck,
    /// <summary>Gets of empty queues.</summary>
    GotNone,
    /// <summary>Deliveries of messages that may have been delivered before.</summary>
    Redelivered,
    /// <summary>Messages that clients acknowledged.</summary>
    Acknowledged,
}

/// <summary>The counts of one channel. Each has one writer at a time: the channel's commands, or who holds its lock. Readers see each as it
/// was a moment ago.</summary>
internal sealed class ChannelCounters
{
    /// <summary>The number of counts.</summary>
    public const int Count = (int)MessageCount.Acknowledged + 1;

    private readonly long[] _counts = new long[Count];

    /// <summary>Counts messages.</summary>
    public void Add(MessageCount what, long messages = 1) => _counts[(int)what] += messages;

    /// <summary>Returns a count.</summary>
    public long Read(MessageCount what) => Volatile.Read(ref _counts[(int)what]);
}

/// <summary>The counts of all channels of this broker since it started, and of its dead letters. Thread safe.</summary>
internal sealed class MessageTotals
{
    private readonly Lock _lock = new();
    private readonly HashSet<ChannelCounters> _open = [];
    private readonly long[] _ended = new long[ChannelCounters.Count];
    private readonly long[] _deadLetters = new long[(int)DeathReason.DeliveryLimit + 1];
    private long _opened;

    /// <summary>The channels that are open, and those that were opened.</summary>
    public (int Open, long Opened) Channels
    {
        get
        {
            lock (_lock)
                return (_open.Count, _opened);
        }
    }

    /// <summary>Opens the counts of a channel.</summary>
    public ChannelCounters Open()
    {
        var counters = new ChannelCounters();
        lock (_lock)
        {
            _open.Add(counters);
            _opened++;
        }
        return counters;
    }

    /// <summary>The channel has ended: what it counts from now on is lost.</summary>
    public void End(ChannelCounters counters)
    {
        lock (_lock)
        {
            if (!_open.Remove(counters))
                return;
            for (var what = 0; what < _ended.Length; what++)
                _ended[what] += counters.Read((MessageCount)what);
        }
    }

    /// <summary>Returns a count of all channels. It never falls.</summary>
    public long Read(MessageCount what)
    {
        lock (_lock)
        {
            var total = _ended[(int)what];
            foreach (var counters in _open)
                total += counters.Read(what);
            return total;
        }
    }

    /// <summary>A dead letter is stored.</summary>
    public void DeadLettered(DeathReason reason) => Interlocked.Increment(ref _deadLetters[(int)reason]);

    /// <summary>Returns the dead letters of a reason.</summary>
    public long ReadDeadLetters(DeathReason reason) => Interlocked.Read(ref _deadLetters[(int)reason]);
}
