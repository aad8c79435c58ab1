namespace OrleansMq.Api;

/// <summary>Looks topics up by their own documents, for what is acknowledged for a topic by its id: what a broker remembers may be a moment
/// behind. A part of the broker API of its own, as <see cref="ITopicAppends"/> is.</summary>
internal interface ITopicLookup
{
    /// <summary>Returns the topic that has a name while the call lasts.</summary>
    /// <exception cref="BrokerException"><see cref="ErrorCode.UnknownTopicOrPartition"/>; it cannot be looked up now.</exception>
    ValueTask<TopicListing> GetCurrentTopicAsync(string topic, CancellationToken cancellationToken = default);
}

/// <summary>See <see cref="ITopicLookup"/>.</summary>
internal static class TopicLookup
{
    /// <inheritdoc cref="ITopicLookup.GetCurrentTopicAsync"/>
    public static async ValueTask<TopicListing> GetCurrentTopicAsync(this IBroker broker, string topic,
        CancellationToken cancellationToken = default)
    {
        if (broker is ITopicLookup lookup)
            return await lookup.GetCurrentTopicAsync(topic, cancellationToken).ConfigureAwait(false);
        var described = await broker.DescribeTopicAsync(topic, cancellationToken).ConfigureAwait(false);
        return new TopicListing(described.Name, described.TopicId, described.Partitions.Count);
    }
}
