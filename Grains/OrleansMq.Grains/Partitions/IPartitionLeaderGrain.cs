namespace OrleansMq.Grains.Partitions;

/// <summary>What the brokers and the catalogue ask of the grain that leads a replicated partition. Each may be sent again.</summary>
[Alias("omq.IPartitionLeaderGrain")]
internal interface IPartitionLeaderGrain : IGrainWithStringKey
{
    /// <summary>Makes sure that somebody leads the partition: cheap where somebody does.</summary>
    /// <returns>The broker that leads it.</returns>
    /// <exception cref="BrokerException"><see cref="ErrorCode.LeaderNotAvailable"/>: nobody can now, retry;
    /// <see cref="ErrorCode.UnknownTopicId"/>: the topic was deleted; <see cref="ErrorCode.KafkaStorageError"/>.</exception>
    [Alias("Lead")]
    [ResponseTimeout(LeaderTimes.Lead)]
    Task<int> LeadAsync();

    /// <summary>Hands leadership over, to the preferred replica: appends are refused until it leads, and a retry mends them.</summary>
    /// <returns>The broker that leads now.</returns>
    /// <exception cref="BrokerException"><see cref="ErrorCode.ElectionNotNeeded"/>: it leads already;
    /// <see cref="ErrorCode.PreferredLeaderNotAvailable"/>: it is down or not in sync;
    /// <see cref="ErrorCode.LeaderNotAvailable"/>.</exception>
    [Alias("ElectPreferred")]
    Task<int> ElectPreferredAsync();

    /// <summary>Hands leadership over, to a replica that is in sync.</summary>
    /// <param name="successor">Its broker.</param>
    /// <returns>The broker that leads now.</returns>
    /// <exception cref="BrokerException"><see cref="ErrorCode.ElectionNotNeeded"/>: it leads already;
    /// <see cref="ErrorCode.EligibleLeadersNotAvailable"/>: it is down or not in sync;
    /// <see cref="ErrorCode.LeaderNotAvailable"/>.</exception>
    [Alias("HandOver")]
    Task<int> HandOverAsync(int successor);

    /// <summary>Changes the replica set; complete when it has begun.</summary>
    /// <param name="replicas">The brokers that are to hold the partition, the preferred leader first.</param>
    /// <exception cref="BrokerException"><see cref="ErrorCode.LeaderNotAvailable"/>, <see cref="ErrorCode.NotLeaderOrFollower"/>,
    /// <see cref="ErrorCode.RequestTimedOut"/>: retry.</exception>
    [Alias("Reassign")]
    Task ReassignAsync(int[] replicas);
}

/// <summary>How long the calls about leadership may take.</summary>
internal static class LeaderTimes
{
    /// <summary>A search and a claim, each of which has its own, shorter limit.</summary>
    public const string Lead = "00:00:10";
}
