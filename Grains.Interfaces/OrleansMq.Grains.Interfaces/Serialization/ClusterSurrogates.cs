using OrleansMq.Brokers;

namespace OrleansMq.Grains.Serialization;

/// <summary>A <see cref="ClusterDescription"/> between silos.</summary>
[GenerateSerializer, Immutable]
[Alias("omq.ClusterDescription.1")]
internal struct ClusterDescriptionSurrogate
{
    [Id(0)] public string ClusterId;
    [Id(1)] public string Flavour;
    [Id(2)] public BrokerDescription[] Brokers;
}

[RegisterConverter]
internal sealed class ClusterDescriptionConverter : IConverter<ClusterDescription, ClusterDescriptionSurrogate>
{
    public ClusterDescription ConvertFromSurrogate(in ClusterDescriptionSurrogate surrogate) =>
        new(surrogate.ClusterId, surrogate.Flavour, surrogate.Brokers);

    public ClusterDescriptionSurrogate ConvertToSurrogate(in ClusterDescription value) =>
        new() { ClusterId = value.ClusterId, Flavour = value.Flavour, Brokers = [.. value.Brokers] };
}

/// <summary>A <see cref="BrokerDescription"/> between silos.</summary>
[GenerateSerializer, Immutable]
[Alias("omq.BrokerDescription.1")]
internal struct BrokerDescriptionSurrogate
{
    [Id(0)] public int BrokerId;
    [Id(1)] public string Version;
    [Id(2)] public int OnlinePartitions;
    [Id(3)] public int OfflinePartitions;
    [Id(4)] public string DataDirectory;
}

[RegisterConverter]
internal sealed class BrokerDescriptionConverter : IConverter<BrokerDescription, BrokerDescriptionSurrogate>
{
    public BrokerDescription ConvertFromSurrogate(in BrokerDescriptionSurrogate surrogate) => new(surrogate.BrokerId, surrogate.Version,
        surrogate.OnlinePartitions, surrogate.OfflinePartitions, surrogate.DataDirectory);

    public BrokerDescriptionSurrogate ConvertToSurrogate(in BrokerDescription value) => new()
    {
        BrokerId = value.BrokerId,
        Version = value.Version,
        OnlinePartitions = value.OnlinePartitions,
        OfflinePartitions = value.OfflinePartitions,
        DataDirectory = value.DataDirectory,
    };
}

/// <summary>A <see cref="ProducerIdentity"/> between silos.</summary>
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
