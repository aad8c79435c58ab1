namespace OrleansMq.Grains.Partitions;

/// <summary>Requests of brokers and catalogue to the grain that leads a replicated partition. All are idempotent.</summary>
[Alias("omq.IPartitionLeaderGrain")]
internal interface IPartitionLeaderGrain : IGrainWithStringKey
{
    /// <summary>Ensures that the partition has a leader; cheap if it has.</summary>
    /// <returns>The broker that leads it.</returns>
    /// <exception cref="BrokerException"><see cref="ErrorCode.LeaderNotAvailable"/>: no broker can lead now, retry;
    /// <see cref="ErrorCode.UnknownTopicId"/>: the topic was deleted; <see cref="ErrorCode.KafkaStorageError"/>.</exception>
    [Alias("Lead")]
    [ResponseTimeout(LeaderTimes.Lead)]
    Task<int> LeadAsync();

    /// <summary>Hands leadership over to the preferred replica. Appends fail with a retriable error until it leads.</summary>
    /// <returns>The broker that leads now.</returns>
    /// <exception cref="BrokerException"><see cref="ErrorCode.ElectionNotNeeded"/>: it leads already;
    /// <see cref="ErrorCode.PreferredLeaderNotAvailable"/>: it is down or not in sync;
    /// <see cref="ErrorCode.LeaderNotAvailable"/>.</exception>
    [Alias("ElectPreferred")]
    Task<int> ElectPreferredAsync();

    /// <summary>Hands leadership over to an in-sync replica.</summary>
    /// <param name="successor">The replica's broker.</param>
    /// <returns>The broker that leads now.</returns>
    /// <exception cref="BrokerException"><see cref="ErrorCode.ElectionNotNeeded"/>: it leads already;
    /// <see cref="ErrorCode.EligibleLeadersNotAvailable"/>: it is down or not in sync;
    /// <see cref="ErrorCode.LeaderNotAvailable"/>.</exception>
    [Alias("HandOver")]
    Task<int> HandOverAsync(int successor);

    /// <summary>Begins a change of the replica set; completes when it has begun.</summary>
    /// <param name="replicas">The brokers of the new replica set, the preferred leader first.</param>
    /// <exception cref="BrokerException"><see cref="ErrorCode.LeaderNotAvailable"/>, <see cref="ErrorCode.NotLeaderOrFollower"/>,
    /// <see cref="ErrorCode.RequestTimedOut"/>: retry.</exception>
    [Alias("Reassign")]
    Task ReassignAsync(int[] replicas);
}

/// <summary>Response timeouts of calls about leadership, as hours:minutes:seconds.</summary>
internal static class LeaderTimes
{
    /// <summary>For a search and a claim, each of which has a shorter timeout of its own.</summary>
    public const string Lead = "00:00:10";
}
