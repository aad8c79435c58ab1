using Orleans.Concurrency;

namespace OrleansMq.Grains.Topics;

/// <summary>What the brokers and the topics' grains of a replicated cluster tell the cluster's grain, and ask of it. Each may be sent
/// again.</summary>
[Alias("omq.IClusterOwnerGrain")]
internal interface IClusterOwnerGrain : IGrainWithStringKey
{
    /// <summary>A broker is there: registers it where that is new, and sends it the metadata where it has not the newest. Whoever calls
    /// first after the silo of the grain's activation has died, makes the next one.</summary>
    /// <param name="registration">What the broker says of itself.</param>
    /// <param name="version">The version of the metadata that it has.</param>
    [Alias("Hello")]
    [ResponseTimeout(OwnerTimes.Call)]
    [AlwaysInterleave]
    Task HelloAsync(RegistrationRecord registration, long version);

    /// <summary>What partitions a broker leads, or led.</summary>
    /// <param name="broker">Who reports.</param>
    /// <param name="reports">What it says.</param>
    /// <param name="isComplete">Whether it leads nothing else.</param>
    [Alias("ReportLeadership")]
    [ResponseTimeout(OwnerTimes.Call)]
    [AlwaysInterleave]
    Task ReportLeadershipAsync(int broker, LeadershipRecord[] reports, bool isComplete);

    /// <summary>A broker has nothing of these deleted topics on its disk.</summary>
    [Alias("ConfirmDeleted")]
    [ResponseTimeout(OwnerTimes.Call)]
    [AlwaysInterleave]
    Task ConfirmDeletedAsync(int broker, Guid[] topicIds);

    /// <summary>Chooses the brokers of new partitions.</summary>
    /// <exception cref="BrokerException"><see cref="ErrorCode.InvalidReplicationFactor"/>.</exception>
    [Alias("Place")]
    [ResponseTimeout(OwnerTimes.Call)]
    [AlwaysInterleave]
    Task<int[][]> PlaceAsync(int count, int replicationFactor);

    /// <summary>Takes a topic into the metadata, or what changed of it; when it returns, every live broker that answers knows.</summary>
    /// <param name="topic">All but its partitions.</param>
    /// <param name="first">The number of the first partition of <paramref name="replicas"/>.</param>
    /// <param name="replicas">The brokers of partitions that may be new, the preferred leader first.</param>
    [Alias("Announce")]
    [ResponseTimeout(OwnerTimes.Call)]
    [AlwaysInterleave]
    Task AnnounceAsync(TopicRecord topic, int first, int[][] replicas);
}
