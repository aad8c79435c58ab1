namespace OrleansMq.Grains.Partitions;

/// <summary>What only the topic's grain asks of a partition's grain: to exist, to be configured, to go. Each may be sent again.</summary>
[Alias("omq.IPartitionOwnerGrain")]
internal interface IPartitionOwnerGrain : IGrainWithStringKey
{
    /// <summary>Makes the partition's directory where there is none; when it returns the partition can be written.</summary>
    /// <exception cref="BrokerException"><see cref="ErrorCode.KafkaStorageError"/>.</exception>
    [Alias("Open")]
    Task OpenAsync(PartitionSpec spec);

    /// <summary>Takes over a changed topic configuration.</summary>
    /// <param name="configs">All keys that the topic sets, after the change.</param>
    [Alias("Configure")]
    Task ConfigureAsync(Dictionary<string, string> configs);

    /// <summary>Stops the partition and frees its disk; one that is gone is fine.</summary>
    /// <param name="topic">The topic's name.</param>
    /// <exception cref="BrokerException"><see cref="ErrorCode.KafkaStorageError"/>: not all of it could be deleted.</exception>
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
