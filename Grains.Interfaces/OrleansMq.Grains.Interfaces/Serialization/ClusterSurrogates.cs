using OrleansMq.Api;

namespace OrleansMq.Grains.Serialization;

/// <summary>The wire form of <see cref="ClusterDescription"/> between silos.</summary>
[GenerateSerializer, Immutable]
[Alias("omq.ClusterDescription.1")]
internal struct ClusterDescriptionSurrogate
{
    [Id(0)] public string ClusterId;
    [Id(1)] public string Flavour;
    [Id(2)] public BrokerDescription[] Brokers;
    // Fields added after the first version; missing ones read as 0.
    [Id(3)] public int ControllerAndOne;
    [Id(4)] public long MetadataVersion;
    [Id(5)] public int Topics;
    [Id(6)] public int Partitions;
    [Id(7)] public TopicPartition[]? UnderReplicatedPartitions;
    [Id(8)] public TopicPartition[]? OfflinePartitions;
    [Id(9)] public TopicPartition[]? BelowMinInSyncPartitions;
    [Id(10)] public bool AutoRebalance;
}

[RegisterConverter]
internal sealed class ClusterDescriptionConverter : IConverter<ClusterDescription, ClusterDescriptionSurrogate>
{
    public ClusterDescription ConvertFromSurrogate(in ClusterDescriptionSurrogate surrogate) =>
        new(surrogate.ClusterId, surrogate.Flavour, surrogate.Brokers, surrogate.ControllerAndOne - 1, surrogate.MetadataVersion,
            surrogate.Topics,
            surrogate.Partitions, surrogate.UnderReplicatedPartitions, surrogate.OfflinePartitions, surrogate.BelowMinInSyncPartitions,
            surrogate.AutoRebalance);

    public ClusterDescriptionSurrogate ConvertToSurrogate(in ClusterDescription value) => new()
    {
        ClusterId = value.ClusterId,
        Flavour = value.Flavour,
        Brokers = [.. value.Brokers],
        ControllerAndOne = value.Controller + 1,
        MetadataVersion = value.MetadataVersion,
        Topics = value.Topics,
        Partitions = value.Partitions,
        UnderReplicatedPartitions = value.UnderReplicatedPartitions?.ToArray(),
        OfflinePartitions = value.OfflinePartitions?.ToArray(),
        BelowMinInSyncPartitions = value.BelowMinInSyncPartitions?.ToArray(),
        AutoRebalance = value.AutoRebalance,
    };
}

/// <summary>The wire form of <see cref="BrokerDescription"/> between silos.</summary>
[GenerateSerializer, Immutable]
[Alias("omq.BrokerDescription.1")]
internal struct BrokerDescriptionSurrogate
{
    [Id(0)] public int BrokerId;
    [Id(1)] public string Version;
    [Id(2)] public int OnlinePartitions;
    [Id(3)] public int OfflinePartitions;
    [Id(4)] public string DataDirectory;
    // Fields added after the first version; missing ones read as 0.
    [Id(5)] public int State;
    [Id(6)] public string? Rack;
    [Id(7)] public string? Host;
    [Id(8)] public string? Http;
    [Id(9)] public string? Kafka;
    [Id(10)] public string? Orleans;
    [Id(11)] public int Leaders;
    [Id(12)] public int PreferredLeaders;
    [Id(13)] public int Replicas;
}

[RegisterConverter]
internal sealed class BrokerDescriptionConverter : IConverter<BrokerDescription, BrokerDescriptionSurrogate>
{
    public BrokerDescription ConvertFromSurrogate(in BrokerDescriptionSurrogate surrogate) => new(surrogate.BrokerId, surrogate.Version,
        surrogate.OnlinePartitions, surrogate.OfflinePartitions, surrogate.DataDirectory, (BrokerState)surrogate.State, surrogate.Rack,
        surrogate.Host,
        surrogate.Http, surrogate.Kafka, surrogate.Orleans, surrogate.Leaders, surrogate.PreferredLeaders, surrogate.Replicas);

    public BrokerDescriptionSurrogate ConvertToSurrogate(in BrokerDescription value) => new()
    {
        BrokerId = value.BrokerId,
        Version = value.Version,
        OnlinePartitions = value.OnlinePartitions,
        OfflinePartitions = value.OfflinePartitions,
        DataDirectory = value.DataDirectory,
        State = (int)value.State,
        Rack = value.Rack,
        Host = value.Host,
        Http = value.Http,
        Kafka = value.Kafka,
        Orleans = value.Orleans,
        Leaders = value.Leaders,
        PreferredLeaders = value.PreferredLeaders,
        Replicas = value.Replicas,
    };
}

/// <summary>The wire form of <see cref="TopicPartition"/> between silos.</summary>
[GenerateSerializer, Immutable]
[Alias("omq.TopicPartition.1")]
internal struct TopicPartitionSurrogate
{
    [Id(0)] public string Topic;
    [Id(1)] public int Partition;
}

[RegisterConverter]
internal sealed class TopicPartitionConverter : IConverter<TopicPartition, TopicPartitionSurrogate>
{
    public TopicPartition ConvertFromSurrogate(in TopicPartitionSurrogate surrogate) => new(surrogate.Topic, surrogate.Partition);

    public TopicPartitionSurrogate ConvertToSurrogate(in TopicPartition value) =>
        new() { Topic = value.Topic, Partition = value.Partition };
}

/// <summary>The wire form of <see cref="ProducerIdentity"/> between silos.</summary>
[GenerateSerializer, Immutable]
[Alias("omq.ProducerIdentity.1")]
internal struct ProducerIdentitySurrogate
{
    [Id(0)] public long ProducerId;
    [Id(1)] public short ProducerEpoch;
}

[RegisterConverter]
internal sealed class ProducerIdentityConverter : IConverter<ProducerIdentity, ProducerIdentitySurrogate>
{
    public ProducerIdentity ConvertFromSurrogate(in ProducerIdentitySurrogate surrogate) =>
        new(surrogate.ProducerId, surrogate.ProducerEpoch);

    public ProducerIdentitySurrogate ConvertToSurrogate(in ProducerIdentity value) =>
        new() { ProducerId = value.ProducerId, ProducerEpoch = value.ProducerEpoch };
}
