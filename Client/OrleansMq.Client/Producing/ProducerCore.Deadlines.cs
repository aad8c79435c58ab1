using System.Collections.Concurrent;
using OrleansMq.Timing;

namespace OrleansMq.Client;

/// <content>
/// Delivery deadlines. One timer for the whole producer is armed for the oldest record. While records are delivered in time, it fires once
/// per <see cref="ProducerOptions.DeliveryTimeout"/>, whatever the traffic.
/// </content>
internal sealed partial class ProducerCore
{
    private readonly ConcurrentQueue<PartitionQueue> _partitions = new();
    private readonly Lock _deadlineGate = new();
    private WakeTimer? _deadlineTimer;
    private long _deadlineAt = long.MaxValue;

    /// <summary>Registers partitions for flushes and deadlines.</summary>
    public void Register(ReadOnlySpan<PartitionQueue> partitions)
    {
        foreach (var partition in partitions)
            _partitions.Enqueue(partition);
    }

    /// <summary>Ensures that the timer fires when the deadline of a record sent at a given time has passed.</summary>
    public void ArmDeadline(long sentAt)
    {
        var at = sentAt + DeliveryTicks;
        if (Volatile.Read(ref _deadlineAt) <= at)
            return;
        lock (_deadlineGate)
        {
            if (_deadlineAt <= at)
                return;
            _deadlineAt = at;
            var now = Clock.Now;
            _deadlineTimer ??= new WakeTimer(Options.TimeProvider, OnDeadline);
            _deadlineTimer.Set(Clock.Until(at, now), now);
        }
    }

    private void OnDeadline()
    {
        // Disarmed before the scan: a record sent from here on arms the timer itself.
        lock (_deadlineGate)
            _deadlineAt = long.MaxValue;
        var sentBefore = Clock.Now - DeliveryTicks;
        FailWaiting(sentBefore);
        var oldest = _buffer.OldestSentAt ?? long.MaxValue;
        foreach (var topic in _topics.Values)
            oldest = Math.Min(oldest, topic.OldestSentAt ?? long.MaxValue);
        foreach (var partition in _partitions)
        {
            if (partition.OldestSentAt is not { } sentAt)
                continue;
            if (sentAt <= sentBefore)
                partition.Start();
            oldest = Math.Min(oldest, Math.Max(sentAt, sentBefore + 1));
        }
        if (oldest != long.MaxValue)
            ArmDeadline(oldest);
    }

    private void FailWaiting(long sentBefore)
    {
        var expired = new List<PendingRecord>();
        _buffer.Expire(sentBefore, expired);
        foreach (var record in expired)
        {
            FailWithoutRoom(record, new ProduceException(ErrorCode.RequestTimedOut,
                $"No room for the record within {Options.DeliveryTimeout}: ProducerOptions.BufferMemory ({Options.BufferMemory} bytes) is "
                + "used up by records that are not delivered. Nothing was sent; try again later.",
                record.TopicPartition, record.Key));
        }
        expired.Clear();
        foreach (var topic in _topics.Values)
            topic.Expire(sentBefore, expired);
        foreach (var record in expired)
        {
            Fail(record, new ProduceException(ErrorCode.RequestTimedOut,
                $"Topic '{record.Topic.Name}' could not be looked up within {Options.DeliveryTimeout}: the broker does not answer. "
                + "Nothing was sent; try again later.",
                record.TopicPartition, record.Key));
        }
    }
}
