using OrleansMq.Gateways.Kafka.Wire;

namespace OrleansMq.Gateways.Kafka.Apis;

/// <summary>A configuration key with its new value.</summary>
internal readonly record struct ConfigPair(string Name, string? Value);

/// <summary>Reads lists of keys with values.</summary>
internal static class ConfigPairs
{
    public static ConfigPair[] Read(ref RequestReader reader)
    {
        var configs = new ConfigPair[reader.ReadArrayLength(elementBytes: 3)];
        for (var index = 0; index < configs.Length; index++)
        {
            configs[index] = new ConfigPair(reader.ReadString(), reader.ReadNullableString());
            reader.SkipTags();
        }
        return configs;
    }
}

/// <summary>The kind of a configuration's resource, by its number on the wire.</summary>
internal enum ConfigResource : sbyte
{
    Unknown = 0,
    Topic = 2,
    Broker = 4,
    BrokerLogger = 8,
    ClientMetrics = 16,
    Group = 32,
}

/// <summary>The source of a value, by its number on the wire.</summary>
internal enum ConfigSource : sbyte
{
    Unknown = 0,
    Topic = 1,
    StaticBroker = 4,
    Default = 5,
    Group = 8,
}
