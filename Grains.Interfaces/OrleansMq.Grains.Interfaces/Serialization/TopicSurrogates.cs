using OrleansMq.Api;

namespace OrleansMq.Grains.Serialization;

/// <summary>The wire form of <see cref="NewTopic"/> between silos.</summary>
[GenerateSerializer, Immutable]
[Alias("omq.NewTopic.1")]
internal struct NewTopicSurrogate
{
    [Id(0)] public string Name;
    [Id(1)] public int Partitions;
    [Id(2)] public short ReplicationFactor;
    [Id(3)] public Dictionary<string, string>? Configs;
    [Id(4)] public bool AllowFewerReplicas;
}

[RegisterConverter]
internal sealed class NewTopicConverter : IConverter<NewTopic, NewTopicSurrogate>
{
    public NewTopic ConvertFromSurrogate(in NewTopicSurrogate surrogate) =>
        new(surrogate.Name, surrogate.Partitions, surrogate.ReplicationFactor, surrogate.Configs)
        {
            AllowFewerReplicas = surrogate.AllowFewerReplicas,
        };

    public NewTopicSurrogate ConvertToSurrogate(in NewTopic value) => new()
    {
        Name = value.Name,
        Partitions = value.Partitions,
        ReplicationFactor = value.ReplicationFactor,
        Configs = value.Configs is null ? null : new Dictionary<string, string>(value.Configs),
        AllowFewerReplicas = value.AllowFewerReplicas,
    };
}

/// <summary>The wire form of <see cref="TopicListing"/> between silos.</summary>
[GenerateSerializer, Immutable]
[Alias("omq.TopicListing.1")]
internal struct TopicListingSurrogate
{
    [Id(0)] public string Name;
    [Id(1)] public Guid TopicId;
    [Id(2)] public int Partitions;
}

[RegisterConverter]
internal sealed class TopicListingConverter : IConverter<TopicListing, TopicListingSurrogate>
{
    public TopicListing ConvertFromSurrogate(in TopicListingSurrogate surrogate) =>
        new(surrogate.Name, surrogate.TopicId, surrogate.Partitions);

    public TopicListingSurrogate ConvertToSurrogate(in TopicListing value) =>
        new() { Name = value.Name, TopicId = value.TopicId, Partitions = value.Partitions };
}

/// <summary>The wire form of <see cref="TopicDescription"/> between silos.</summary>
[GenerateSerializer, Immutable]
[Alias("omq.TopicDescription.1")]
internal struct TopicDescriptionSurrogate
{
    [Id(0)] public string Name;
    [Id(1)] public Guid TopicId;
    [Id(2)] public PartitionDescription[] Partitions;
    [Id(3)] public ConfigEntry[] Configs;
    [Id(4)] public int? IntendedReplicationFactor;
}

[RegisterConverter]
internal sealed class TopicDescriptionConverter : IConverter<TopicDescription, TopicDescriptionSurrogate>
{
    public TopicDescription ConvertFromSurrogate(in TopicDescriptionSurrogate surrogate) =>
        new(surrogate.Name, surrogate.TopicId, surrogate.Partitions, surrogate.Configs)
        {
            IntendedReplicationFactor = surrogate.IntendedReplicationFactor,
        };

    public TopicDescriptionSurrogate ConvertToSurrogate(in TopicDescription value) => new()
    {
        Name = value.Name,
        TopicId = value.TopicId,
        Partitions = [.. value.Partitions],
        Configs = [.. value.Configs],
        IntendedReplicationFactor = value.IntendedReplicationFactor,
    };
}

/// <summary>The wire form of <see cref="ConfigEntry"/> between silos.</summary>
[GenerateSerializer, Immutable]
[Alias("omq.ConfigEntry.1")]
internal struct ConfigEntrySurrogate
{
    [Id(0)] public string Name;
    [Id(1)] public string Value;
    [Id(2)] public bool IsDefault;
}

[RegisterConverter]
internal sealed class ConfigEntryConverter : IConverter<ConfigEntry, ConfigEntrySurrogate>
{
    public ConfigEntry ConvertFromSurrogate(in ConfigEntrySurrogate surrogate) => new(surrogate.Name, surrogate.Value, surrogate.IsDefault);

    public ConfigEntrySurrogate ConvertToSurrogate(in ConfigEntry value) =>
        new() { Name = value.Name, Value = value.Value, IsDefault = value.IsDefault };
}

/// <summary>The wire form of <see cref="PartitionDescription"/> between silos.</summary>
[GenerateSerializer, Immutable]
[Alias("omq.PartitionDescription.1")]
internal struct PartitionDescriptionSurrogate
{
    [Id(0)] public int Partition;
    [Id(1)] public int Leader;
    [Id(2)] public int LeaderEpoch;
    [Id(3)] public int[] Replicas;
    [Id(4)] public int[] InSyncReplicas;
    [Id(5)] public long LogStartOffset;
    [Id(6)] public long HighWatermark;
    [Id(7)] public long LogEndOffset;
    [Id(8)] public long SizeBytes;
    [Id(9)] public string? OfflineReason;
    [Id(10)] public int[]? EligibleLeaderReplicas;
}

[RegisterConverter]
internal sealed class PartitionDescriptionConverter : IConverter<PartitionDescription, PartitionDescriptionSurrogate>
{
    public PartitionDescription ConvertFromSurrogate(in PartitionDescriptionSurrogate surrogate) => new(surrogate.Partition,
        surrogate.Leader, surrogate.LeaderEpoch, surrogate.Replicas, surrogate.InSyncReplicas, surrogate.LogStartOffset,
        surrogate.HighWatermark, surrogate.LogEndOffset, surrogate.SizeBytes, surrogate.OfflineReason, surrogate.EligibleLeaderReplicas);

    public PartitionDescriptionSurrogate ConvertToSurrogate(in PartitionDescription value) => new()
    {
        Partition = value.Partition,
        Leader = value.Leader,
        LeaderEpoch = value.LeaderEpoch,
        Replicas = [.. value.Replicas],
        InSyncReplicas = [.. value.InSyncReplicas],
        LogStartOffset = value.LogStartOffset,
        HighWatermark = value.HighWatermark,
        LogEndOffset = value.LogEndOffset,
        SizeBytes = value.SizeBytes,
        OfflineReason = value.OfflineReason,
        EligibleLeaderReplicas = value.EligibleLeaderReplicas?.ToArray(),
    };
}
