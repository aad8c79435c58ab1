using OrleansMq.Gateways.Kafka.Requests;
using OrleansMq.Gateways.Kafka.Wire;

namespace OrleansMq.Gateways.Kafka.Apis;

/// <summary>A request of share groups.</summary>
internal abstract class ShareGroupApi<TRequest>(ApiKey key, short minVersion, short maxVersion)
    : KafkaApi<TRequest>(key, minVersion, maxVersion, flexibleFrom: 0)
    where TRequest : class
{
    /// <summary>Whether share groups are served. Otherwise no client learns of their requests.</summary>
    public const bool AreServed = false;

    /// <inheritdoc/>
    public sealed override bool IsAnnounced => AreServed;
}
