namespace OrleansMq.Api;

/// <summary>Deletes a topic by its id: one that was created again under the name stays. A part of the broker API of its own, as
/// <see cref="ITopicAppends"/> is.</summary>
internal interface ITopicDeletion
{
    /// <summary>Deletes as <see cref="IBroker.DeleteTopicAsync"/> does, but the topic with this id alone.</summary>
    /// <exception cref="BrokerException"><see cref="ErrorCode.UnknownTopicOrPartition"/>; <see cref="ErrorCode.UnknownTopicId"/>: the name
    /// is another topic's.</exception>
    ValueTask DeleteTopicAsync(string topic, Guid topicId, CancellationToken cancellationToken = default);
}

/// <summary>See <see cref="ITopicDeletion"/>.</summary>
internal static class TopicDeletion
{
    /// <inheritdoc cref="ITopicDeletion.DeleteTopicAsync"/>
    public static ValueTask DeleteTopicAsync(this IBroker broker, string topic, Guid topicId,
        CancellationToken cancellationToken = default) => broker is ITopicDeletion deletion
        ? deletion.DeleteTopicAsync(topic, topicId, cancellationToken)
        : throw new BrokerException(ErrorCode.UnsupportedVersion, "This broker API deletes by a topic's name only.");
}
