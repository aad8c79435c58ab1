using OrleansMq.Gateways.Kafka.Wire;

namespace OrleansMq.Gateways.Kafka.Apis;

/// <summary>A configuration key with the value it is to have.</summary>
internal readonly record struct ConfigPair(string Name, string? Value);

/// <summary>Lists of keys with values in requests.</summary>
internal static class ConfigPairs
{
    public static ConfigPair[] Read(ref RequestReader reader)
    {
        var configs = new ConfigPair[reader.ReadArrayLength(elementBytes: 2)];
        for (var index = 0; index < configs.Length; index++)
        {
            configs[index] = new ConfigPair(reader.ReadString(), reader.ReadNullableString());
            reader.SkipTags();
        }
        return configs;
    }
}

/// <summary>What a configuration belongs to, by its number on the wire.</summary>
internal enum ConfigResource : sbyte
{
    Unknown = 0,
    Topic = 2,
    Broker = 4,
    BrokerLogger = 8,
    ClientMetrics = 16,
    Group = 32,
}

/// <summary>Where a value comes from, by its number on the wire.</summary>
internal enum ConfigSource : sbyte
{
    Unknown = 0,
    Topic = 1,
    StaticBroker = 4,
    Default = 5,
}
