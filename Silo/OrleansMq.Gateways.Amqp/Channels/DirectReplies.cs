using System.Collections.Concurrent;
using System.Globalization;
using System.Security.Cryptography;
using OrleansMq.Gateways.Amqp.Queues;
using OrleansMq.Gateways.Amqp.Wire;
using OrleansMq.Hosting;
using OrleansMq.VirtualHosts;

namespace OrleansMq.Gateways.Amqp.Channels;

/// <summary>Direct reply-to: the channels that take answers without a queue, by the token in the answers' routing key. The token names the
/// broker that has the channel: brokers give each other the answers. Thread safe.</summary>
internal sealed class DirectReplies : IDisposable
{
    /// <summary>The queue that clients name.</summary>
    public const string Name = "amq.rabbitmq.reply-to";

    private readonly ConcurrentDictionary<string, AmqpChannel> _channels = new(StringComparer.Ordinal);
    private readonly ConcurrentDictionary<int, ReplyLane> _lanes = new();
    private readonly HostedBroker _broker;

    /// <param name="broker">This broker.</param>
    public DirectReplies(HostedBroker broker)
    {
        _broker = broker;
        broker.Peers.Receive(AmqpGateway.GatewayName, Take);
    }

    /// <summary>Returns whether a routing key of the default exchange is that of an answer.</summary>
    public static bool IsReply(string routingKey) => routingKey.StartsWith(Name + ".", StringComparison.Ordinal);

    /// <summary>Adds a channel. Returns the routing key of answers to it.</summary>
    public string Add(AmqpChannel channel)
    {
        var key = $"{Name}.{_broker.BrokerId}.{Convert.ToHexStringLower(RandomNumberGenerator.GetBytes(16))}";
        _channels[key] = channel;
        return key;
    }

    /// <summary>Removes a channel.</summary>
    public void Remove(string key) => _channels.TryRemove(key, out _);

    /// <summary>Checks a declaration.</summary>
    /// <exception cref="AmqpException">There is no such channel.</exception>
    public async ValueTask CheckAsync(string virtualHost, string name)
    {
        if (name == Name || _channels.ContainsKey(name))
            return;
        if (OtherBrokerOf(name) is { } home
            && await _broker.Peers.SendAsync(home, AmqpGateway.GatewayName, ReplyFrames.Question(name)).ConfigureAwait(false))
            return;
        throw AmqpRefusal.NotFound(ResourceNames.Queue(virtualHost, name)).ToException();
    }

    /// <summary>Delivers an answer, at most once: it is dropped where the channel or its broker has ended, or its client does not
    /// receive.</summary>
    public void Deliver(AmqpMessage message)
    {
        if (_channels.TryGetValue(message.RoutingKey, out var channel))
            channel.DeliverReply(message);
        else if (OtherBrokerOf(message.RoutingKey) is { } home)
            _lanes.GetOrAdd(home, LaneTo).Add(message);
    }

    /// <inheritdoc/>
    public void Dispose() => _broker.Peers.Receive(AmqpGateway.GatewayName, null);

    private ReplyLane LaneTo(int broker) => new(frame => _broker.Peers.SendAsync(broker, AmqpGateway.GatewayName, frame));

    // Clients may make tokens up.
    private int? OtherBrokerOf(string key)
    {
        if (!IsReply(key))
            return null;
        var rest = key.AsSpan(Name.Length + 1);
        return rest.IndexOf('.') is > 0 and var end
            && int.TryParse(rest[..end], NumberStyles.None, CultureInfo.InvariantCulture, out var broker)
            && broker != _broker.BrokerId && _broker.Metadata.Image.Brokers.ContainsKey(broker) ? broker : null;
    }

    // Of another broker: whether a channel is here, or answers to channels.
    private bool Take(ReadOnlyMemory<byte> frame)
    {
        if (ReplyFrames.ReadQuestion(frame) is { } key)
            return _channels.ContainsKey(key);
        foreach (var message in ReplyFrames.ReadReplies(frame))
        {
            if (_channels.TryGetValue(message.RoutingKey, out var channel))
                channel.DeliverReply(message);
        }
        return true;
    }
}
