using OrleansMq.Gateways.Amqp.Alarms;
using OrleansMq.Gateways.Amqp.Wire;

namespace OrleansMq.Gateways.Amqp.Queues;

/// <summary>A message in a queue. Its memory is its own, and never changes.</summary>
/// <param name="Exchange">The exchange that it was published to.</param>
/// <param name="RoutingKey">Its routing key.</param>
/// <param name="Properties">Its properties, as the publisher sent them.</param>
/// <param name="Body">Its body.</param>
/// <param name="Published">When the broker took it, in milliseconds since 1970.</param>
internal sealed record AmqpMessage(string Exchange, string RoutingKey, ContentProperties Properties, ReadOnlyMemory<byte> Body,
    long Published)
{
    /// <summary>Whether it is a dead letter, whose header <c>x-death</c> is the broker's. What a client publishes under that name is not
    /// read.</summary>
    public bool IsDeadLetter { get; init; }

    /// <summary>The exchange that has delayed it, where bindings or an alternate exchange led there from <see cref="Exchange"/>;
    /// null: none has, or it was published there.</summary>
    public string? DelayedBy { get; init; }

    /// <summary>The exchange whose bindings route it.</summary>
    public string RoutedBy => DelayedBy ?? Exchange;

    /// <summary>The bytes that it takes in memory, about.</summary>
    public int Bytes => Body.Length + Properties.Bytes.Length + (2 * RoutingKey.Length) + 256;

    /// <summary>The bytes that each further queue takes in memory, about: its place there.</summary>
    public const int HolderBytes = 128;

    /// <summary>The shortest time to live in a queue on the log. A message with a time of 0 is delivered at once, or expires: on its way
    /// to consumers that wait are the log, and its replicas.</summary>
    public static readonly TimeSpan LeastTtlOnLog = TimeSpan.FromMilliseconds(50);

    private int _holders;

    // No queue holds a copy.
    private AmqpMessage(AmqpMessage original) =>
        (Exchange, RoutingKey, Properties, Body, Published, IsDeadLetter, DelayedBy) = (original.Exchange, original.RoutingKey,
            original.Properties, original.Body, original.Published, original.IsDeadLetter, original.DelayedBy);

    /// <summary>A queue in memory holds it. Of several the first one counts its bytes, the others their places.</summary>
    public void Hold(MemoryBudget memory) => memory.AddHeld(Interlocked.Increment(ref _holders) == 1 ? Bytes : HolderBytes);

    /// <summary>A queue in memory holds it no more.</summary>
    public void Release(MemoryBudget memory) => memory.AddHeld(Interlocked.Decrement(ref _holders) == 0 ? -Bytes : -HolderBytes);

    /// <summary>Whether it must survive a power cut: delivery-mode 2.</summary>
    public bool IsPersistent => Properties.DeliveryMode == 2;

    /// <summary>Its own time to live, in milliseconds; null for none.</summary>
    public long? Expiration => Properties.Expiration is { } text && long.TryParse(text, out var milliseconds) ? milliseconds : null;

    /// <summary>Returns when it expires, in milliseconds since 1970; null for never.</summary>
    /// <param name="queueTtl">The queue's time to live; null for none. The lower one counts.</param>
    /// <param name="since">When it came into the queue.</param>
    public long? ExpiresAt(TimeSpan? queueTtl, long since) => since + TtlOf(queueTtl);

    /// <summary>As <see cref="ExpiresAt"/>, in a queue on the log.</summary>
    /// <inheritdoc cref="ExpiresAt" path="/param"/>
    public long? ExpiresOnLogAt(TimeSpan? queueTtl, long since) =>
        TtlOf(queueTtl) is { } ttl ? since + Math.Max(ttl, (long)LeastTtlOnLog.TotalMilliseconds) : null;

    private long? TtlOf(TimeSpan? queueTtl)
    {
        var own = Expiration;
        return queueTtl is { } time ? Math.Min((long)time.TotalMilliseconds, own ?? long.MaxValue) : own;
    }
}
