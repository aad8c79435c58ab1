using OrleansMq.Gateways.Amqp.Queues;

namespace OrleansMq.Gateways.Amqp.Channels;

/// <summary>A delivery that is not acknowledged.</summary>
/// <param name="tag">Its tag.</param>
/// <param name="hold">What its reader holds.</param>
/// <param name="message">The message, where it may become a dead letter; null: it is read again where it does.</param>
/// <param name="keptBytes">What that takes of the memory for such messages; 0: its queue has it in memory, too.</param>
/// <param name="entry">Its queue.</param>
/// <param name="reader">Its way to the queue.</param>
/// <param name="consumer">Its consumer; null where the client asked for it.</param>
/// <param name="since">When it was delivered, a timestamp.</param>
internal sealed class Delivery(ulong tag, MessageHold hold, AmqpMessage? message, int keptBytes, QueueEntry entry, IQueueReader reader,
    ChannelConsumer? consumer, long since)
{
    /// <summary>Its tag.</summary>
    public ulong Tag { get; } = tag;

    /// <summary>What its reader holds.</summary>
    public MessageHold Hold { get; } = hold;

    /// <summary>The message, where it may become a dead letter; null: it is read again where it does.</summary>
    public AmqpMessage? Message { get; } = message;

    /// <summary>What <see cref="Message"/> takes of the memory for such messages.</summary>
    public int KeptBytes { get; } = keptBytes;

    /// <summary>Its queue.</summary>
    public QueueEntry Entry { get; } = entry;

    /// <summary>Its way to the queue.</summary>
    public IQueueReader Reader { get; } = reader;

    /// <summary>Its consumer; null where the client asked for it.</summary>
    public ChannelConsumer? Consumer { get; } = consumer;

    /// <summary>Since when the client holds it, a timestamp.</summary>
    public long Since { get; set; } = since;

    /// <summary>The neighbours in <see cref="HeldDeliveries"/>.</summary>
    internal Delivery? Older { get; set; }

    /// <inheritdoc cref="Older"/>
    internal Delivery? Newer { get; set; }
}

/// <summary>The deliveries that a consumer holds, the oldest first. Each call takes the same time. Not thread safe.</summary>
internal sealed class HeldDeliveries
{
    private Delivery? _newest;

    /// <summary>The oldest; null: it holds none.</summary>
    public Delivery? Oldest { get; private set; }

    /// <summary>Adds the newest. Returns whether it is the oldest, too.</summary>
    public bool Add(Delivery delivery)
    {
        delivery.Older = _newest;
        if (_newest is not null)
            _newest.Newer = delivery;
        else
            Oldest = delivery;
        _newest = delivery;
        return Oldest == delivery;
    }

    /// <summary>Removes one that is there.</summary>
    public void Remove(Delivery delivery)
    {
        if (delivery.Older is not null)
            delivery.Older.Newer = delivery.Newer;
        else
            Oldest = delivery.Newer;
        if (delivery.Newer is not null)
            delivery.Newer.Older = delivery.Older;
        else
            _newest = delivery.Older;
        (delivery.Older, delivery.Newer) = (null, null);
    }
}
