namespace OrleansMq.Grains.Brokers;

/// <summary>Times of a <see cref="GrainBroker"/>.</summary>
public sealed record GrainBrokerOptions
{
    /// <summary>
    /// The longest a single grain call waits for records; a longer poll is made of several calls. 5 seconds: well below the 10 seconds
    /// that a call to a partition may take, so that a poll without records never looks like a dead silo.
    /// </summary>
    public TimeSpan MaxWaitPerCall { get; init; } = TimeSpan.FromSeconds(5);

    /// <summary>
    /// For how long <see cref="GrainBroker.GetTopicAsync"/> answers from memory: 1 second, so that partitions added elsewhere are soon
    /// seen while a producer's question for every batch stays cheap. Records never go astray by it: partitions are called by topic id.
    /// </summary>
    public TimeSpan MetadataMaxAge { get; init; } = TimeSpan.FromSeconds(1);

    /// <summary>For how long a call that may be repeated (a read, a look-up) is repeated while its partition has no leader: 2 seconds,
    /// above what a failover takes.</summary>
    public TimeSpan LeaderPatience { get; init; } = TimeSpan.FromSeconds(2);

    /// <summary>Where the time comes from.</summary>
    public TimeProvider TimeProvider { get; init; } = TimeProvider.System;
}
