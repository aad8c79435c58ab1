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

    /// <summary>What the names of the cursors of replays begin with.</summary>
    /// <remarks>The name of a provider has no @.</remarks>
    public string ReplayPrefix => $"streams:{provider}@";

    /// <summary>Returns the name of a replay's cursor.</summary>
    public string QueueOf(Replay replay) => $"{ReplayPrefix}{replay.Id:N}";

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

    /// <summary>Creates the cursor of a replay unless it exists. It delivers the events of one stream. Where the topic does not keep the
    /// first one any more, it begins with the earliest that it keeps.</summary>
    /// <param name="partition">The stream's partition.</param>
    /// <param name="key">The stream's key.</param>
    /// <param name="replay">The replay.</param>
    /// <param name="cancellationToken">Ends the wait.</param>
    /// <returns>The offset of the earliest event, where that is above the replay's first; otherwise null.</returns>
    /// <exception cref="BrokerException">Also <see cref="ErrorCode.OffsetOutOfRange"/>: the partition ends below the replay's first
    /// offset; <see cref="ErrorCode.PolicyViolation"/>: it has as many queues as its broker allows.</exception>
    public async Task<long?> CreateReplayQueueAsync(TopicPartition partition, ReadOnlyMemory<byte> key, Replay replay,
        CancellationToken cancellationToken)
    {
        var queue = new NewQueue(QueueOf(replay))
        {
            Start = OffsetSpec.AtOffset(replay.From),
            Options = await ReplayOptionsAsync(partition.Topic, key, cancellationToken).ConfigureAwait(false),
        };
        try
        {
            await Client.Broker.Queues.CreateAsync(partition, queue, cancellationToken).ConfigureAwait(false);
            return null;
        }
        catch (BrokerException outside) when (outside.Code == ErrorCode.OffsetOutOfRange)
        {
            var earliest = await Client.Broker.FindOffsetAsync(partition, OffsetSpec.Earliest, cancellationToken).ConfigureAwait(false);
            if (earliest.Error != ErrorCode.None || earliest.Offset <= replay.From)
                throw;
            await Client.Broker.Queues.CreateAsync(partition, queue with { Start = OffsetSpec.Earliest }, cancellationToken)
                .ConfigureAwait(false);
            return earliest.Offset;
        }
    }

    /// <summary>Whether the cursor of explicit subscriptions is another one than that which a replay's subscription had: it was reset, or
    /// created again. The replay is then over.</summary>
    /// <remarks>A leader that is replaced may describe an earlier cursor, and commits no alteration.</remarks>
    /// <param name="partition">The partition.</param>
    /// <param name="queue">The id of the cursor that the subscription had.</param>
    /// <param name="cancellationToken">Ends the calls.</param>
    /// <exception cref="BrokerException">The partition is not available.</exception>
    public async Task<bool> IsResetAsync(TopicPartition partition, Guid queue, CancellationToken cancellationToken)
    {
        try
        {
            var described = await Client.Broker.Queues.DescribeAsync(partition, ExplicitQueue, cancellationToken).ConfigureAwait(false);
            return described.Id != queue && (await Client.Broker.Queues.AlterAsync(partition, ExplicitQueue, described.Options,
                described.Id, cancellationToken).ConfigureAwait(false)).Id != queue;
        }
        catch (BrokerException deleted) when (deleted.Code == ErrorCode.GroupIdNotFound)
        {
            // The silos create it again, or the next look finds another id.
            return false;
        }
    }

    /// <summary>Gives the cursor of a replay the dead-letter topic that exists now, if it was not done for that one. A letter for a topic
    /// that is deleted would be dropped.</summary>
    /// <param name="partition">The stream's partition.</param>
    /// <param name="key">The stream's key.</param>
    /// <param name="replay">The replay.</param>
    /// <param name="applied">The id of the dead-letter topic that it was given; empty: none.</param>
    /// <param name="topics">The topics that exist, with their ids.</param>
    /// <param name="cancellationToken">Ends the calls.</param>
    /// <returns>The id of the dead-letter topic that it has.</returns>
    /// <exception cref="BrokerException">The partition is not available or has no such cursor, or the dead-letter topic cannot be
    /// created.</exception>
    public async Task<Guid> KeepReplayOptionsAsync(TopicPartition partition, ReadOnlyMemory<byte> key, Replay replay, Guid applied,
        IReadOnlyDictionary<string, Guid> topics, CancellationToken cancellationToken)
    {
        var letters = partition.Topic + DeadLetterSuffix;
        if (topics.TryGetValue(letters, out var id) && id == applied)
            return id;
        Forget(partition.Topic);
        var options = await ReplayOptionsAsync(partition.Topic, key, cancellationToken).ConfigureAwait(false);
        id = (await Client.Broker.GetTopicAsync(letters, cancellationToken).ConfigureAwait(false)).TopicId;
        await Client.Broker.Queues.AlterAsync(partition, QueueOf(replay), options, cancellationToken: cancellationToken)
            .ConfigureAwait(false);
        return id;
    }

    private async Task<QueueOptions> ReplayOptionsAsync(string topic, ReadOnlyMemory<byte> key, CancellationToken cancellationToken) =>
        await QueueOptionsAsync(topic, cancellationToken).ConfigureAwait(false) with
        {
            Filter = $"KEY() = X'{Convert.ToHexString(key.Span)}'",
        };

    private async Task<OffsetSpec> EndOfAsync(TopicPartition partition, CancellationToken cancellationToken)
    {
        var end = await Client.Broker.FindOffsetAsync(partition, OffsetSpec.Latest, cancellationToken).ConfigureAwait(false);
        return end.Error == ErrorCode.None ? OffsetSpec.AtOffset(end.Offset)
            : throw new BrokerException(end.Error, end.Message ?? $"The end of {partition} is not known now: {end.Error}.");
    }
}
