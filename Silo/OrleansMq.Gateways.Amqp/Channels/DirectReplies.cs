using System.Collections.Concurrent;
using System.Security.Cryptography;
using OrleansMq.Gateways.Amqp.Queues;
using OrleansMq.Gateways.Amqp.Wire;
using OrleansMq.VirtualHosts;

namespace OrleansMq.Gateways.Amqp.Channels;

/// <summary>Direct reply-to: the channels that take answers without a queue, by the token in the answers' routing key. Thread
/// safe.</summary>
internal sealed class DirectReplies
{
    /// <summary>The queue that clients name.</summary>
    public const string Name = "amq.rabbitmq.reply-to";

    private readonly ConcurrentDictionary<string, AmqpChannel> _channels = new(StringComparer.Ordinal);

    /// <summary>Returns whether a routing key of the default exchange is that of an answer.</summary>
    public static bool IsReply(string routingKey) => routingKey.StartsWith(Name + ".", StringComparison.Ordinal);

    /// <summary>Adds a channel. Returns the routing key of answers to it.</summary>
    public string Add(AmqpChannel channel)
    {
        var key = $"{Name}.{Convert.ToHexStringLower(RandomNumberGenerator.GetBytes(16))}";
        _channels[key] = channel;
        return key;
    }

    /// <summary>Removes a channel.</summary>
    public void Remove(string key) => _channels.TryRemove(key, out _);

    /// <summary>Checks a declaration.</summary>
    /// <exception cref="AmqpException">There is no such channel.</exception>
    public void Check(string virtualHost, string name)
    {
        if (name != Name && !_channels.ContainsKey(name))
            throw AmqpRefusal.NotFound(ResourceNames.Queue(virtualHost, name)).ToException();
    }

    /// <summary>Delivers an answer, at most once: it is dropped where the channel has ended, or its client does not receive.</summary>
    public void Deliver(AmqpMessage message)
    {
        if (_channels.TryGetValue(message.RoutingKey, out var channel))
            channel.DeliverReply(message);
    }
}
