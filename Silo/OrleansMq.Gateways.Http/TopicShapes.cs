using System.Collections.Concurrent;
using System.Globalization;
using OrleansMq.Api;

namespace OrleansMq.Gateways.Http;

/// <summary>What producing lines of JSON must know of a topic.</summary>
/// <param name="Partitions">Its number of partitions.</param>
/// <param name="MaxMessageBytes">Its <c>max.message.bytes</c>.</param>
internal sealed record TopicShape(int Partitions, int MaxMessageBytes);

/// <summary>
/// Caches <see cref="TopicShape.MaxMessageBytes"/> of topics for a moment, since reading a topic's configuration also gathers the state of
/// all its partitions. The limit only sizes batches; the broker checks every batch, so that an old value costs at most a refusal.
/// </summary>
internal sealed class TopicShapes
{
    /// <summary>The most topics in the cache; beyond it the cache is cleared.</summary>
    private const int Capacity = 10_000;
    private static readonly TimeSpan ValidFor = TimeSpan.FromSeconds(1);
    private readonly ConcurrentDictionary<Guid, (int MaxMessageBytes, long Since)> _known = new();

    /// <summary>Returns the topic's current partitions, and its limit as of at most a second ago.</summary>
    /// <param name="broker">The broker, as the client may use it.</param>
    /// <param name="own">The broker itself: the limit does not depend on what the first client may read of the configuration.</param>
    /// <param name="topic">The topic's name.</param>
    /// <param name="time">The clock.</param>
    /// <param name="cancellationToken">Gives up.</param>
    /// <exception cref="BrokerException"><see cref="ErrorCode.UnknownTopicOrPartition"/>.</exception>
    public async ValueTask<TopicShape> GetAsync(IBroker broker, IBroker own, string topic, TimeProvider time,
        CancellationToken cancellationToken)
    {
        var listing = await broker.GetTopicAsync(topic, cancellationToken);
        if (_known.TryGetValue(listing.TopicId, out var known) && time.GetElapsedTime(known.Since) < ValidFor)
            return new TopicShape(listing.Partitions, known.MaxMessageBytes);
        var limit = MaxMessageBytes(await own.DescribeTopicAsync(topic, cancellationToken));
        if (_known.Count >= Capacity)
            _known.Clear();
        _known[listing.TopicId] = (limit, time.GetTimestamp());
        return new TopicShape(listing.Partitions, limit);
    }

    private static int MaxMessageBytes(TopicDescription topic)
    {
        foreach (var config in topic.Configs)
        {
            if (config.Name == "max.message.bytes"
                && int.TryParse(config.Value, NumberStyles.None, CultureInfo.InvariantCulture, out var bytes))
                return bytes;
        }
        return Topics.TopicConfig.Default.MaxMessageBytes;
    }
}
