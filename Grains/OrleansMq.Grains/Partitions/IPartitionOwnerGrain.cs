namespace OrleansMq.Grains.Partitions;

/// <summary>Requests of the topic's grain to a partition's grain: open, configure, drop. All are idempotent.</summary>
[Alias("omq.IPartitionOwnerGrain")]
internal interface IPartitionOwnerGrain : IGrainWithStringKey
{
    /// <summary>Opens the partition, creating its directory if needed; when this returns, the partition accepts writes.</summary>
    /// <exception cref="BrokerException"><see cref="ErrorCode.KafkaStorageError"/>.</exception>
    [Alias("Open")]
    Task OpenAsync(PartitionSpec spec);

    /// <summary>Applies a changed topic configuration.</summary>
    /// <param name="configs">All keys that the topic sets, after the change.</param>
    [Alias("Configure")]
    Task ConfigureAsync(Dictionary<string, string> configs);

    /// <summary>Stops the partition and frees its disk space. A missing partition is not an error.</summary>
    /// <param name="topic">The topic's name.</param>
    /// <exception cref="BrokerException"><see cref="ErrorCode.KafkaStorageError"/>: some of it could not be deleted.</exception>
    [Alias("Drop")]
    Task DropAsync(string topic);
}

/// <summary>A partition to open. Topic id and number are in the grain's key.</summary>
[GenerateSerializer, Immutable]
[Alias("omq.PartitionSpec")]
internal sealed record PartitionSpec
{
    /// <summary>The topic's name.</summary>
    [Id(0)]
    public required string Topic { get; init; }

    /// <summary>The keys that the topic sets; all others have the broker's defaults.</summary>
    [Id(1)]
    public required Dictionary<string, string> Configs { get; init; }
}
