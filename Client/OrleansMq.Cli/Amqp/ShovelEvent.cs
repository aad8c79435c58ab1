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

    /// <summary>The source delivers nothing more: the consumer was cancelled, by either side.</summary>
    /// <param name="ByBroker">Whether the source cancelled it, as when its queue is deleted.</param>
    public sealed record ConsumerEnded(bool ByBroker) : ShovelEvent;

    /// <summary>The source's channel or connection ended.</summary>
    /// <param name="Reason">Why.</param>
    public sealed record SourceLost(ShutdownEventArgs Reason) : ShovelEvent;

    /// <summary>Some time has gone by.</summary>
    public sealed record Tick : ShovelEvent;

    /// <summary>Something happened at a connection to the target.</summary>
    /// <param name="Target">The connection's number.</param>
    public abstract record OfTarget(int Target) : ShovelEvent;

    /// <summary>The target confirmed a message.</summary>
    /// <param name="Target">The connection's number.</param>
    /// <param name="Number">The message's number.</param>
    /// <param name="Multiple">Whether all before it are confirmed, too.</param>
    public sealed record Confirmed(int Target, ulong Number, bool Multiple) : OfTarget(Target);

    /// <summary>The target could not store a message: a queue is full, or has no leader.</summary>
    /// <param name="Target">The connection's number.</param>
    /// <param name="Number">The message's number.</param>
    /// <param name="Multiple">Whether all before it that are not confirmed were not stored, too.</param>
    public sealed record Nacked(int Target, ulong Number, bool Multiple) : OfTarget(Target);

    /// <summary>The target has no queue for a message.</summary>
    /// <param name="Target">The connection's number.</param>
    /// <param name="Exchange">The exchange.</param>
    /// <param name="RoutingKey">The routing key.</param>
    public sealed record Returned(int Target, string Exchange, string RoutingKey) : OfTarget(Target);

    /// <summary>The channel or connection ended.</summary>
    /// <param name="Target">The connection's number.</param>
    /// <param name="Reason">Why.</param>
    public sealed record TargetLost(int Target, ShutdownEventArgs Reason) : OfTarget(Target);
}
