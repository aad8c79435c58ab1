namespace OrleansMq.Grains.Brokers;

/// <summary>Times of a <see cref="GrainBroker"/>.</summary>
internal sealed record GrainBrokerOptions
{
    /// <summary>
    /// The longest that a single grain call waits for records; a longer poll uses several calls. Default 5 seconds: well below the
    /// 10-second timeout of a call to a partition, so that an empty poll never looks like a dead silo.
    /// </summary>
    public TimeSpan MaxWaitPerCall { get; init; } = TimeSpan.FromSeconds(5);

    /// <summary>
    /// How long <see cref="GrainBroker.GetTopicAsync"/> answers from memory. Default 1 second: partitions added elsewhere appear soon, and
    /// a lookup for every batch stays cheap. Stale metadata cannot misdirect records, since partitions are addressed by topic id.
    /// </summary>
    public TimeSpan MetadataMaxAge { get; init; } = TimeSpan.FromSeconds(1);

    /// <summary>How long an idempotent call (a read or a lookup) is retried while its partition has no leader. Default 2 seconds, which is
    /// longer than a failover takes.</summary>
    public TimeSpan LeaderPatience { get; init; } = TimeSpan.FromSeconds(2);

    /// <summary>The clock.</summary>
    public TimeProvider TimeProvider { get; init; } = TimeProvider.System;
}
