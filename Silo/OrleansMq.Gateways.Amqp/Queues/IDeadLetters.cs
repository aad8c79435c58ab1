using OrleansMq.VirtualHosts;

namespace OrleansMq.Gateways.Amqp.Queues;

/// <summary>Why a message became a dead letter.</summary>
internal enum DeathReason
{
    /// <summary>Never used.</summary>
    None = 0,
    /// <summary>A consumer rejected it.</summary>
    Rejected,
    /// <summary>Its time to live has passed.</summary>
    Expired,
    /// <summary>The queue was too long.</summary>
    MaxLength,
    /// <summary>It failed too often.</summary>
    DeliveryLimit,
}

/// <summary>Where dead letters go.</summary>
internal interface IDeadLetters
{
    /// <summary>Publishes a message's dead letter to the queue's dead-letter exchange.</summary>
    /// <param name="message">The message.</param>
    /// <param name="queue">Its queue.</param>
    /// <param name="settings">The queue's settings.</param>
    /// <param name="reason">Why it dies.</param>
    /// <param name="stored">The ids of the queues that have the letter from an earlier attempt; those that take it now are added. Null:
    /// there are none, and no further attempt.</param>
    /// <returns>Whether the message may leave its queue. It may where every queue that the letter is routed to has it, or can never hold
    /// it; and where there is no exchange, or no queue, or one is full, or the routing takes too many steps, unless letters are published
    /// at least once.</returns>
    Task<bool> PublishAsync(AmqpMessage message, QueueState queue, QueueSettings settings, DeathReason reason,
        HashSet<long>? stored = null);
}
