using System.Globalization;
using OrleansMq.Gateways.Amqp.Queues;
using OrleansMq.VirtualHosts;

namespace OrleansMq.Gateways.Amqp.Streams;

/// <summary>
/// A stream: a partition whose records consumers read by offset, each from its own. It keeps no state of consumers: an acknowledgement
/// returns credit alone. A declared stream has a topic, which its <see cref="LogQueue"/> creates, marks by its cursor and deletes; its
/// records go by the topic's retention. A partition of any other topic is a stream without a queue, for reading only.
/// </summary>
/// <param name="source">What readers read.</param>
/// <param name="own">The queue that has the topic; null where the stream is a topic's partition.</param>
internal sealed class StreamQueue(StreamSource source, LogQueue? own) : IAmqpQueue
{
    /// <summary>Returns the configuration of a stream's topic.</summary>
    /// <param name="state">The queue.</param>
    /// <param name="settings">Its settings.</param>
    public static Dictionary<string, string?> ConfigsOf(QueueState state, QueueSettings settings)
    {
        var configs = new Dictionary<string, string?>
        {
            ["retention.ms"] = Text(settings.MaxAge is { } age ? (long)age.TotalMilliseconds : -1),
            ["retention.bytes"] = Text(settings.MaxLengthBytes ?? -1),
        };
        if (state.Arguments.Integer(QueueArguments.MaxSegmentBytes) is { } segment)
            configs["segment.bytes"] = Text(Math.Clamp(segment, MinSegmentBytes, int.MaxValue));
        return configs;
    }

    // Smaller segments cost more files than they keep records.
    private const long MinSegmentBytes = 4096;

    /// <summary>Attaches a reader.</summary>
    /// <param name="start">Where it begins.</param>
    /// <param name="filter">What it wants; null for all.</param>
    /// <exception cref="QueueGoneException">The topic is deleted.</exception>
    /// <exception cref="BrokerException">The start cannot be found.</exception>
    public async ValueTask<IQueueReader> AttachAsync(StreamStart start, StreamFilter? filter)
    {
        var reader = new StreamReader(source, filter);
        await reader.StartAsync(start).ConfigureAwait(false);
        return reader;
    }

    /// <inheritdoc/>
    public Task<PublishOutcome> PublishAsync(AmqpMessage message) => own?.PublishAsync(message) ?? Task.FromResult(PublishOutcome.Gone);

    /// <inheritdoc/>
    /// <exception cref="NotSupportedException">Always: readers of streams begin somewhere.</exception>
    public ValueTask<IQueueReader> AttachAsync(int priority) => throw new NotSupportedException("A stream is read from an offset.");

    /// <inheritdoc/>
    public async ValueTask<QueueCounts> CountAllAsync() => own is not null ? await own.CountAllAsync().ConfigureAwait(false)
        : new QueueCounts(Math.Max(await source.FindAsync(OffsetSpec.Latest).ConfigureAwait(false)
            - await source.FindAsync(OffsetSpec.Earliest).ConfigureAwait(false), 0), 0);

    /// <inheritdoc/>
    public async ValueTask ApplyAsync(QueueSettings settings)
    {
        if (own is not null)
            await own.Broker.AlterTopicAsync(own.Partition.Topic, ConfigsOf(own.State, settings)).ConfigureAwait(false);
    }

    /// <inheritdoc/>
    /// <exception cref="NotSupportedException">Always: a stream's records go by their age or size.</exception>
    public ValueTask<long> PurgeAsync() => throw new NotSupportedException("A stream is not purged.");

    /// <inheritdoc/>
    public ValueTask DeleteAsync() => own?.DeleteAsync() ?? default;

    /// <inheritdoc/>
    public ValueTask DisposeAsync() => own?.DisposeAsync() ?? default;

    private static string Text(long number) => number.ToString(CultureInfo.InvariantCulture);
}
