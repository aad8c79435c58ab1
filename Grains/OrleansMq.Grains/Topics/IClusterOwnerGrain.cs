using Orleans.Concurrency;

namespace OrleansMq.Grains.Topics;

/// <summary>Reports and requests of brokers and topic grains to the grain of a replicated cluster. All are idempotent.</summary>
[Alias("omq.IClusterOwnerGrain")]
internal interface IClusterOwnerGrain : IGrainWithStringKey
{
    /// <summary>Announces a broker: registers a new one, and sends it the metadata unless it has the latest. If the grain's silo has died,
    /// the first call activates the grain again.</summary>
    /// <param name="registration">The broker's description of itself.</param>
    /// <param name="version">The version of its metadata.</param>
    [Alias("Hello")]
    [ResponseTimeout(OwnerTimes.Call)]
    [AlwaysInterleave]
    Task HelloAsync(RegistrationRecord registration, long version);

    /// <summary>Reports partitions that a broker leads, or has led.</summary>
    /// <param name="broker">The reporting broker.</param>
    /// <param name="reports">Its reports.</param>
    /// <param name="isComplete">Whether it leads nothing else.</param>
    [Alias("ReportLeadership")]
    [ResponseTimeout(OwnerTimes.Call)]
    [AlwaysInterleave]
    Task ReportLeadershipAsync(int broker, LeadershipRecord[] reports, bool isComplete);

    /// <summary>Confirms that a broker has nothing of these deleted topics on its disk.</summary>
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

    /// <summary>Adds a topic, or changes of it, to the metadata. When this returns, every live broker that answers has them.</summary>
    /// <param name="topic">The topic without its partitions.</param>
    /// <param name="first">The number of the first partition in <paramref name="replicas"/>.</param>
    /// <param name="replicas">The brokers of each partition, which may be new, the preferred leader first.</param>
    [Alias("Announce")]
    [ResponseTimeout(OwnerTimes.Call)]
    [AlwaysInterleave]
    Task AnnounceAsync(TopicRecord topic, int first, int[][] replicas);

    /// <summary>Succeeds if all brokers can read and write batches of a codec.</summary>
    /// <exception cref="BrokerException"><see cref="ErrorCode.InvalidConfig"/>: one that is not being drained lacks it.</exception>
    [Alias("RequireCodec")]
    [ResponseTimeout(OwnerTimes.Call)]
    [AlwaysInterleave]
    Task RequireCodecAsync(CompressionType codec);
}
