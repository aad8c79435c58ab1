using System.Text.Json.Serialization;
using OrleansMq.Api;

namespace OrleansMq.Tests.Chaos.Consumers;

/// <summary>How much is produced, and by how many it is consumed.</summary>
internal sealed record ConsumerGroupLoad
{
    public string Topic { get; init; } = "orders";
    public string Group { get; init; } = "billing";
    public GroupType Protocol { get; init; } = GroupType.Consumer;
    public int Partitions { get; init; } = 12;
    public int Consumers { get; init; } = 4;
    public int RecordsPerSecond { get; init; } = 240;

    /// <summary>A killed consumer's partitions are read by nobody for so long: short, so that a short run sees many rebalances; longer than
    /// a coordinator's failover.</summary>
    public TimeSpan SessionTimeout { get; init; } = TimeSpan.FromSeconds(8);

    /// <summary>What the brokers are told.</summary>
    [JsonIgnore]
    public IReadOnlyDictionary<string, string> Environment => new Dictionary<string, string>
    {
        ["OMQ_GROUP_CONSUMER_SESSION_TIMEOUT_MS"] = $"{SessionTimeout.TotalMilliseconds:0}",
        ["OMQ_GROUP_CONSUMER_HEARTBEAT_INTERVAL_MS"] = "1000",
    };
}
