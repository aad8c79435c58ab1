using OrleansMq.Api;

namespace OrleansMq.Grains.Topics;

/// <summary>What only the cluster's grain asks of a topic's grain: to exist, and to go. Each may be sent again.</summary>
[Alias("omq.ITopicOwnerGrain")]
internal interface ITopicOwnerGrain : IGrainWithStringKey
{
    /// <summary>Writes the topic's document and makes its partitions; when it returns all of them can be written.</summary>
    /// <exception cref="BrokerException"><see cref="ErrorCode.KafkaStorageError"/>.</exception>
    [Alias("Create")]
    [ResponseTimeout(OwnerTimes.Administration)]
    Task<TopicDescription> CreateAsync(TopicSpec spec);

    /// <summary>Finishes what a crash interrupted: the creation of the topic with that id, or the addition of partitions to it.</summary>
    /// <returns>False where the topic's document was never written: there is nothing to finish.</returns>
    /// <exception cref="BrokerException"><see cref="ErrorCode.KafkaStorageError"/>.</exception>
    [Alias("Finish")]
    [ResponseTimeout(OwnerTimes.Administration)]
    Task<bool> FinishAsync(Guid topicId);

    /// <summary>Deletes the partitions and the document of the topic with that id; one that is gone is fine.</summary>
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

    /// <summary>How many partitions there are to be.</summary>
    [Id(1)]
    public required int Partitions { get; init; }

    /// <summary>The keys that the topic sets.</summary>
    [Id(2)]
    public required Dictionary<string, string> Configs { get; init; }

    /// <summary>How many replicas each partition is to have.</summary>
    [Id(3)]
    public short ReplicationFactor { get; init; } = 1;
}

/// <summary>How long the calls between the grains of a topic may take.</summary>
internal static class OwnerTimes
{
    /// <summary>Below what the caller of the whole operation waits for, so that the caller hears which step it was that took too
    /// long.</summary>
    public const string Administration = "00:04:30";

    /// <summary>Calls that wait for the database at most.</summary>
    public const string Call = "00:00:10";
}
