using RabbitMQ.Client;
using RabbitMQ.Client.Events;

namespace OrleansMq.Cli.Amqp;

/// <summary>What happens to a shovel, in the order in which the clients tell it.</summary>
internal abstract record ShovelEvent
{
    /// <summary>The source delivered a message.</summary>
    /// <param name="Tag">Its delivery tag.</param>
    /// <param name="RoutingKey">Its routing key.</param>
    /// <param name="Properties">Its properties.</param>
    /// <param name="Body">Its body.</param>
    public sealed record Delivered(ulong Tag, string RoutingKey, BasicProperties Properties, ReadOnlyMemory<byte> Body) : ShovelEvent;

    /// <summary>The target confirmed a message.</summary>
    /// <param name="Number">Its number.</param>
    /// <param name="Multiple">Whether all before it are confirmed, too.</param>
    public sealed record Confirmed(ulong Number, bool Multiple) : ShovelEvent;

    /// <summary>The target could not store a message: a queue is full, or has no leader.</summary>
    public sealed record Nacked : ShovelEvent;

    /// <summary>The target has no queue for a message.</summary>
    /// <param name="Exchange">The exchange.</param>
    /// <param name="RoutingKey">The routing key.</param>
    public sealed record Returned(string Exchange, string RoutingKey) : ShovelEvent;

    /// <summary>The source delivers nothing more: the consumer was cancelled, by either side.</summary>
    /// <param name="ByBroker">Whether the source cancelled it, as when its queue is deleted.</param>
    public sealed record ConsumerEnded(bool ByBroker) : ShovelEvent;

    /// <summary>A channel or connection ended.</summary>
    /// <param name="Reason">Why.</param>
    public sealed record Lost(ShutdownEventArgs Reason) : ShovelEvent;

    /// <summary>Some time has gone by.</summary>
    public sealed record Tick : ShovelEvent;
}
