namespace OrleansMq.Api;

/// <summary>Appends to a topic by its id, for what the broker itself has decided to append: one that was created again under the name gets
/// nothing. A part of the broker API of its own, which users who stand in for <see cref="IBroker"/> need not have.</summary>
internal interface ITopicAppends
{
    /// <summary>Appends as <see cref="IBroker.ProduceAsync"/> does, but to the topic with this id alone.</summary>
    /// <returns>Also <see cref="ErrorCode.UnknownTopicId"/>: the name is another topic's. What this process knows of it may be a moment
    /// behind; <see cref="IBroker.DescribeTopicAsync"/> tells.</returns>
    ValueTask<ProduceResult> ProduceToAsync(Guid topicId, TopicPartition partition, Memory<byte> batch, Acks acks,
        CancellationToken cancellationToken = default);
}

/// <summary>Finds topics by their ids, and <see cref="ITopicAppends"/>.</summary>
internal static class TopicAppends
{
    /// <inheritdoc cref="ITopicAppends.ProduceToAsync"/>
    public static ValueTask<ProduceResult> ProduceToAsync(this IBroker broker, Guid topicId, TopicPartition partition, Memory<byte> batch,
        Acks acks, CancellationToken cancellationToken = default) => broker is ITopicAppends appends
        ? appends.ProduceToAsync(topicId, partition, batch, acks, cancellationToken)
        : new(ProduceResult.Failed(ErrorCode.UnsupportedVersion, "This broker API appends by a topic's name only."));

    /// <summary>Describes the topic with a name and an id, as its own document tells.</summary>
    /// <returns>Null: it was deleted.</returns>
    /// <exception cref="BrokerException">It cannot be looked up now.</exception>
    public static async Task<TopicDescription?> FindByIdAsync(this IBroker broker, string name, Guid topicId,
        CancellationToken cancellationToken)
    {
        try
        {
            var topic = await broker.DescribeTopicAsync(name, cancellationToken).ConfigureAwait(false);
            return topic.TopicId == topicId ? topic : null;
        }
        catch (BrokerException missing) when (missing.Code == ErrorCode.UnknownTopicOrPartition)
        {
            return null;
        }
    }
}
