using System.Text.Json.Serialization;

namespace OrleansMq.Tests.Chaos.Consumers;

/// <summary>How much is produced, and how many consumers read it.</summary>
internal sealed record ConsumerGroupLoad
{
    public string Topic { get; init; } = "orders";
    public string Group { get; init; } = "billing";
    public GroupType Protocol { get; init; } = GroupType.Consumer;
    public int Partitions { get; init; } = 12;
    public int Consumers { get; init; } = 4;
    public int RecordsPerSecond { get; init; } = 240;

    /// <summary>How long the partitions of a killed consumer stay unread. Short, so that a short run sees many rebalances; longer than a
    /// coordinator failover.</summary>
    public TimeSpan SessionTimeout { get; init; } = TimeSpan.FromSeconds(8);

    /// <summary>The settings of the brokers.</summary>
    [JsonIgnore]
    public IReadOnlyDictionary<string, string> Environment => new Dictionary<string, string>
    {
        ["OMQ_GROUP_CONSUMER_SESSION_TIMEOUT_MS"] = $"{SessionTimeout.TotalMilliseconds:0}",
        ["OMQ_GROUP_CONSUMER_HEARTBEAT_INTERVAL_MS"] = "1000",
    };
}
