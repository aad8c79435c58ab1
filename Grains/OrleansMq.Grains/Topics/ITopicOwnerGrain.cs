using OrleansMq.Api;

namespace OrleansMq.Grains.Topics;

/// <summary>Requests of the cluster's grain to a topic's grain: create, complete, delete. All are idempotent.</summary>
[Alias("omq.ITopicOwnerGrain")]
internal interface ITopicOwnerGrain : IGrainWithStringKey
{
    /// <summary>Writes the topic's document and creates its partitions; when this returns, all of them accept writes.</summary>
    /// <exception cref="BrokerException"><see cref="ErrorCode.KafkaStorageError"/>; <see cref="ErrorCode.LeaderNotAvailable"/>: the call is
    /// late, since the catalogue does not have the topic as being created any more, and nothing was done.</exception>
    [Alias("Create")]
    [ResponseTimeout(OwnerTimes.Administration)]
    Task<TopicDescription> CreateAsync(TopicSpec spec);

    /// <summary>Completes what a crash interrupted: the creation of the topic with that id, or the addition of partitions.</summary>
    /// <returns>False if the topic's document was never written, so that there is nothing to complete.</returns>
    /// <exception cref="BrokerException"><see cref="ErrorCode.KafkaStorageError"/>.</exception>
    [Alias("Finish")]
    [ResponseTimeout(OwnerTimes.Administration)]
    Task<bool> FinishAsync(Guid topicId);

    /// <summary>Raises the replication factor of the topic with that id to one that all its partitions have reached, unless it has got
    /// other partitions meanwhile.</summary>
    /// <returns>Whether it has that factor now.</returns>
    /// <exception cref="BrokerException"><see cref="ErrorCode.KafkaStorageError"/>.</exception>
    [Alias("Raise")]
    [ResponseTimeout(OwnerTimes.Administration)]
    Task<bool> RaiseAsync(Guid topicId, short reached, int partitions);

    /// <summary>Deletes the partitions and the document of the topic with that id. A missing topic is not an error.</summary>
    /// <exception cref="BrokerException"><see cref="ErrorCode.KafkaStorageError"/>: something of it is left. Retry.</exception>
    [Alias("Delete")]
    [ResponseTimeout(OwnerTimes.Administration)]
    Task DeleteAsync(Guid topicId);
}

/// <summary>A topic to create. Its name is the grain's key.</summary>
[GenerateSerializer, Immutable]
[Alias("omq.TopicSpec")]
internal sealed record TopicSpec
{
    /// <summary>The topic's id.</summary>
    [Id(0)]
    public required Guid TopicId { get; init; }

    /// <summary>The number of partitions.</summary>
    [Id(1)]
    public required int Partitions { get; init; }

    /// <summary>The keys that the topic sets.</summary>
    [Id(2)]
    public required Dictionary<string, string> Configs { get; init; }

    /// <summary>The number of replicas of each partition.</summary>
    [Id(3)]
    public short ReplicationFactor { get; init; } = 1;

    /// <summary>The replication factor that it gets when enough brokers have joined; null for the same.</summary>
    [Id(4)]
    public short? IntendedReplicationFactor { get; init; }
}

/// <summary>Response timeouts of calls between the grains of a topic, as hours:minutes:seconds.</summary>
internal static class OwnerTimes
{
    /// <summary>Shorter than the timeout of the whole operation, so that its caller learns which step took too long.</summary>
    public const string Administration = "00:04:30";

    /// <summary>For calls that at most wait for the database.</summary>
    public const string Call = "00:00:10";
}
