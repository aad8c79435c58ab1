using System.Globalization;
using OrleansMq.Api;
using OrleansMq.Gateways.Amqp.Channels;
using OrleansMq.Gateways.Amqp.Wire;
using OrleansMq.Topics;
using OrleansMq.VirtualHosts;

namespace OrleansMq.Gateways.Amqp.Streams;

/// <summary>
/// A partition of any topic as a stream. Its name, <c>amq.topic/TOPIC</c> or <c>amq.topic/TOPIC/PARTITION</c>, takes the place of a queue's
/// and needs no declaration; no client can declare a queue of such a name. What is published to the default exchange with the name as
/// routing key is appended to the topic. Users need the permission to read or write it. Only the virtual host <c>/</c> has topics: those
/// of others stay apart from them.
/// </summary>
/// <param name="Name">The whole name.</param>
/// <param name="Topic">The topic.</param>
/// <param name="Partition">The partition; null: the topic has one, or the key of a message decides.</param>
internal sealed record TopicStream(string Name, string Topic, int? Partition)
{
    private const string Prefix = ExchangeTypes.ReservedPrefix + "topic/";

    /// <summary>Reads a queue's name.</summary>
    /// <returns>Null: it is that of a queue.</returns>
    /// <exception cref="AmqpException">The partition is no number.</exception>
    public static TopicStream? Of(string name)
    {
        if (!name.StartsWith(Prefix, StringComparison.Ordinal))
            return null;
        var topic = name[Prefix.Length..];
        if (topic.LastIndexOf('/') is not (>= 0 and var end))
            return new TopicStream(name, topic, null);
        return int.TryParse(topic.AsSpan(end + 1), NumberStyles.None, CultureInfo.InvariantCulture, out var partition)
            ? new TopicStream(name, topic[..end], partition)
            : throw new AmqpException(ReplyCode.PreconditionFailed,
                $"'{name}' names no partition: '{topic[(end + 1)..]}' is not a number; use '{Prefix}TOPIC/0'");
    }

    /// <summary>Finds the partition.</summary>
    /// <param name="broker">The broker, as the user may use it.</param>
    /// <param name="virtualHost">The virtual host.</param>
    /// <exception cref="AmqpException">There is none, or it is not to be read so.</exception>
    public async ValueTask<TopicPartition> FindAsync(IBroker broker, string virtualHost)
    {
        var found = await FindTopicAsync(broker, virtualHost).ConfigureAwait(false);
        if (Partition is null && found.Partitions > 1)
            throw new AmqpException(ReplyCode.PreconditionFailed,
                $"topic '{Topic}' has {found.Partitions} partitions: name one, such as '{Name}/0'");
        var partition = Partition ?? 0;
        return partition < found.Partitions ? new TopicPartition(Topic, partition)
            : throw AmqpRefusal.NotFound(ResourceNames.Queue(virtualHost, Name)).ToException();
    }

    /// <summary>Finds the topic.</summary>
    /// <param name="broker">The broker, as the user may use it.</param>
    /// <param name="virtualHost">The virtual host.</param>
    /// <exception cref="AmqpException">There is none, or it is not to be used so.</exception>
    public async ValueTask<TopicListing> FindTopicAsync(IBroker broker, string virtualHost)
    {
        var resource = ResourceNames.Queue(virtualHost, Name);
        if (virtualHost != "/" || TopicName.Validate(Topic) is not null || InternalTopics.IsInternal(Topic))
            throw AmqpRefusal.NotFound(resource).ToException();
        if (QueueTopics.IsOfQueue(Topic))
            throw AmqpRefusal.Access($"{resource} is the topic of a queue: use the queue").ToException();
        try
        {
            return await broker.GetTopicAsync(Topic).ConfigureAwait(false);
        }
        catch (BrokerException missing) when (missing.Code is ErrorCode.UnknownTopicOrPartition or ErrorCode.InvalidTopic)
        {
            throw AmqpRefusal.NotFound(resource).ToException();
        }
        catch (BrokerException refused) when (refused.Code == ErrorCode.TopicAuthorizationFailed)
        {
            throw AmqpRefusal.Access(refused.Message).ToException();
        }
    }
}
