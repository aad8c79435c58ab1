using OrleansMq.Api;
using OrleansMq.Client;
using OrleansMq.Consumers;

namespace OrleansMq.Streams;

/// <summary>The topics of a provider, and their cursors. Thread-safe.</summary>
internal sealed class StreamTopics(OrleansMqClient client, string provider, OrleansMqStreamOptions options)
    : CursorTopics(client, options.Delivery)
{
    /// <summary>The name of the cursor of explicit subscriptions.</summary>
    /// <remarks>The name of a provider has no colon, so that no other provider has a cursor of this name.</remarks>
    public string ExplicitQueue => $"streams:{provider}";

    /// <summary>Returns the name of a grain class's cursor.</summary>
    public string QueueOf(GrainType grainType) => NameOf($"streams:{provider}:", grainType.ToString()!);

    /// <summary>Whether a topic is one of the provider.</summary>
    public bool IsOwn(string topic) => topic.StartsWith(options.TopicPrefix, StringComparison.Ordinal);

    /// <summary>Whether events of a topic are for implicit subscriptions: neither internal topics nor dead letters are.</summary>
    public bool IsForImplicit(string topic) => IsOwn(topic) && !topic.StartsWith("__", StringComparison.Ordinal)
        && !topic.EndsWith(DeadLetterSuffix, StringComparison.Ordinal);

    /// <summary>
    /// Creates the cursors of explicit subscriptions that do not exist. A topic without subscriptions is served from the ends that its
    /// partitions had before it was found to have none: what another subscription is owed has come later. Partitions of one with
    /// subscriptions are served from the earliest record: they were added since, or the topic was created again.
    /// </summary>
    /// <returns>The cursor of each partition.</returns>
    /// <exception cref="BrokerException">A partition is not available, or subscriptions cannot be read.</exception>
    public async Task<IReadOnlyList<QueueDescription>> CreateExplicitQueuesAsync(string topic, SubscriptionLog subscriptions,
        CancellationToken cancellationToken)
    {
        var options = await QueueOptionsAsync(topic, cancellationToken).ConfigureAwait(false);
        var found = await Client.Broker.GetTopicAsync(topic, cancellationToken).ConfigureAwait(false);
        var starts = new OffsetSpec[found.Partitions];
        Array.Fill(starts, OffsetSpec.Earliest);
        if (!subscriptions.Table.HasSubscriptions(topic))
        {
            var ends = await Task.WhenAll(Enumerable.Range(0, found.Partitions).Select(partition => EndOfAsync(
                new TopicPartition(topic, partition), cancellationToken))).ConfigureAwait(false);
            await subscriptions.CatchUpAsync(cancellationToken).ConfigureAwait(false);
            var later = await Client.Broker.GetTopicAsync(topic, cancellationToken).ConfigureAwait(false);
            if (later.TopicId != found.TopicId)
                throw new BrokerException(ErrorCode.LeaderNotAvailable, $"Topic '{topic}' is deleted and created again now.");
            if (!subscriptions.Table.HasSubscriptions(topic))
                starts = ends;
        }
        return await Task.WhenAll(starts.Select((start, partition) => Client.Broker.Queues.CreateAsync(
            new TopicPartition(topic, partition), new NewQueue(ExplicitQueue) { Start = start, Options = options },
            cancellationToken).AsTask())).ConfigureAwait(false);
    }

    private async Task<OffsetSpec> EndOfAsync(TopicPartition partition, CancellationToken cancellationToken)
    {
        var end = await Client.Broker.FindOffsetAsync(partition, OffsetSpec.Latest, cancellationToken).ConfigureAwait(false);
        return end.Error == ErrorCode.None ? OffsetSpec.AtOffset(end.Offset)
            : throw new BrokerException(end.Error, end.Message ?? $"The end of {partition} is not known now: {end.Error}.");
    }
}
