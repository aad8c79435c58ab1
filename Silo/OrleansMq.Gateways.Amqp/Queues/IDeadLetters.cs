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
    /// <returns>Whether every queue that it is routed to has it; also true where there is no exchange, or no queue.</returns>
    Task<bool> PublishAsync(AmqpMessage message, QueueState queue, QueueSettings settings, DeathReason reason);
}
