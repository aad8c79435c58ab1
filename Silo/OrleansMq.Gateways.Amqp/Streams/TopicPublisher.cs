using System.Collections.Concurrent;
using System.Globalization;
using OrleansMq.Api;
using OrleansMq.Diagnostics;
using OrleansMq.Gateways.Amqp.Channels;
using OrleansMq.Gateways.Amqp.Queues;
using OrleansMq.Gateways.Amqp.Wire;
using OrleansMq.Partitioning;
using OrleansMq.VirtualHosts;

namespace OrleansMq.Gateways.Amqp.Streams;

/// <summary>
/// Publishes a connection's messages to a topic, whoever reads it. A message with a key goes to the partition that Kafka's clients choose
/// for the key. Those without one go to the partitions in turn. What goes to one partition keeps its order. Thread safe.
/// </summary>
/// <param name="broker">The broker, as the user may use it.</param>
/// <param name="topic">The topic.</param>
/// <param name="virtualHost">The virtual host.</param>
/// <param name="maxBatchBytes">The most bytes of a batch, as <see cref="PublishLane"/> counts them, unless one message has more.</param>
/// <param name="partitions">Returns the number of the topic's partitions.</param>
/// <param name="time">The clock.</param>
/// <param name="log">The log.</param>
internal sealed class TopicPublisher(IBroker broker, string topic, string virtualHost, int maxBatchBytes, Func<int> partitions,
    TimeProvider time, EngineLog log)
{
    private readonly ConcurrentDictionary<int, PublishLane> _lanes = new();
    private uint _next;

    /// <summary>Opens the publisher of a user.</summary>
    /// <param name="stream">The topic's name.</param>
    /// <param name="virtualHost">The virtual host.</param>
    /// <param name="user">The broker, as the user may use it.</param>
    /// <param name="own">The broker, as the gateway may use it.</param>
    /// <param name="partitions">Returns the number of a topic's partitions; null: it is not known.</param>
    /// <param name="time">The clock.</param>
    /// <param name="log">The log.</param>
    /// <exception cref="AmqpException">There is no such topic, or it is not to be written so.</exception>
    public static async Task<TopicPublisher> OpenAsync(TopicStream stream, string virtualHost, IBroker user, IBroker own,
        Func<string, int?> partitions, TimeProvider time, EngineLog log)
    {
        var found = await stream.FindTopicAsync(user, virtualHost).ConfigureAwait(false);
        var configs = (await own.DescribeTopicAsync(found.Name).ConfigureAwait(false)).Configs;
        var most = int.Parse(configs.Single(static config => config.Name == "max.message.bytes").Value, CultureInfo.InvariantCulture);
        // A record has its message's properties as headers, a part of them twice.
        return new TopicPublisher(user, found.Name, virtualHost, Math.Min(PublishLane.MaxBytes, most / 4),
            () => partitions(found.Name) ?? found.Partitions, time, log);
    }

    /// <summary>Checks the partition that a name says.</summary>
    /// <exception cref="AmqpException">The topic has no such partition.</exception>
    public void Check(TopicStream stream)
    {
        if (stream.Partition >= partitions())
            throw AmqpRefusal.NotFound(ResourceNames.Queue(virtualHost, stream.Name)).ToException();
    }

    /// <summary>Publishes a message.</summary>
    /// <param name="stream">The topic's name, which may say the partition.</param>
    /// <param name="message">The message.</param>
    /// <returns>The outcome. <see cref="PublishOutcome.Gone"/>: topic or partition is deleted, and nothing has the message.</returns>
    public Task<PublishOutcome> PublishAsync(TopicStream stream, AmqpMessage message)
    {
        var count = partitions();
        var partition = stream.Partition ?? (RecordKey.Of(message.Properties) is { } key ? Murmur2Partitioner.ForKey(key.Span, count)
            : (int)(Interlocked.Increment(ref _next) % (uint)count));
        return _lanes.GetOrAdd(partition, CreateLane).AddAsync(message, priority: null, expiresAt: null);
    }

    private PublishLane CreateLane(int partition) => new(new LogAppender(broker, new TopicPartition(topic, partition),
        $"topic '{topic}', partition {partition},", time, log).AppendAsync, () => (PublishLane.MaxMessages, maxBatchBytes), time);
}
