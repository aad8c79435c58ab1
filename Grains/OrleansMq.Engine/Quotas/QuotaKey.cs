using System.Globalization;

namespace OrleansMq.Quotas;

/// <summary>What a quota limits.</summary>
internal enum QuotaKey
{
    /// <summary><c>producer_byte_rate</c>: bytes a second that are written.</summary>
    ProducerByteRate = 0,
    /// <summary><c>consumer_byte_rate</c>: bytes a second that are read.</summary>
    ConsumerByteRate = 1,
    /// <summary><c>request_percentage</c>: percent of one thread's time that requests take.</summary>
    RequestPercentage = 2,
    /// <summary><c>controller_mutation_rate</c>: partitions a second that are created and deleted.</summary>
    ControllerMutationRate = 3,
    /// <summary><c>connection_creation_rate</c>: connections a second from an address.</summary>
    ConnectionCreationRate = 4,
    /// <summary><c>producer_ids</c>: producer ids that write, each until it has been silent for
    /// <see cref="ActiveProducerIds.Silence"/>.</summary>
    ProducerIds = 5,
}

/// <summary>The names of quotas, and which values they may have.</summary>
internal static class QuotaKeys
{
    private static readonly (QuotaKey Key, string Name)[] _all =
    [
        (QuotaKey.ProducerByteRate, "producer_byte_rate"), (QuotaKey.ConsumerByteRate, "consumer_byte_rate"),
        (QuotaKey.RequestPercentage, "request_percentage"), (QuotaKey.ControllerMutationRate, "controller_mutation_rate"),
        (QuotaKey.ConnectionCreationRate, "connection_creation_rate"), (QuotaKey.ProducerIds, "producer_ids"),
    ];

    /// <summary>All keys.</summary>
    public static IEnumerable<QuotaKey> All => _all.Select(static one => one.Key);

    /// <summary>The number of keys.</summary>
    public static int Count => _all.Length;

    /// <summary>The name of a key; Kafka's, where Kafka has it.</summary>
    public static string Name(this QuotaKey key) => _all[(int)key].Name;

    /// <summary>Finds a key by its name.</summary>
    public static bool TryParse(string name, out QuotaKey key)
    {
        var index = Array.FindIndex(_all, one => one.Name == name);
        key = index < 0 ? default : _all[index].Key;
        return index >= 0;
    }

    /// <summary>Whether a key limits what an address does, rather than a user or client.</summary>
    public static bool IsOfAddress(this QuotaKey key) => key == QuotaKey.ConnectionCreationRate;

    /// <summary>Whether a limit holds for the whole cluster, which its brokers share; else for each broker.</summary>
    public static bool IsShared(this QuotaKey key) =>
        key is QuotaKey.ProducerByteRate or QuotaKey.ConsumerByteRate or QuotaKey.ControllerMutationRate;

    /// <summary>Returns what is wrong with a limit; null if nothing is.</summary>
    public static string? FaultOf(QuotaKey key, double value)
    {
        if (!double.IsFinite(value) || value <= 0)
            return $"{key.Name()} is {value.ToString(CultureInfo.InvariantCulture)}; it must be greater than 0.";
        var most = key switch
        {
            QuotaKey.ProducerByteRate or QuotaKey.ConsumerByteRate => long.MaxValue,
            QuotaKey.ConnectionCreationRate => int.MaxValue,
            QuotaKey.ProducerIds => ActiveProducerIds.Most,
            _ => double.MaxValue,
        };
        if (most == double.MaxValue)
            return null;
        return value > most ? $"{key.Name()} is {value.ToString(CultureInfo.InvariantCulture)}; the most is "
                + $"{most.ToString("F0", CultureInfo.InvariantCulture)}."
            : value != Math.Floor(value) ? $"{key.Name()} is {value.ToString(CultureInfo.InvariantCulture)}; it must be a whole number."
            : null;
    }
}
