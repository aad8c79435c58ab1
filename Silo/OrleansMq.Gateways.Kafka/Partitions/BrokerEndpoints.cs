using OrleansMq.Clusters;
using OrleansMq.Gateways.Kafka.Requests;

namespace OrleansMq.Gateways.Kafka.Partitions;

/// <summary>Where clients reach a broker.</summary>
internal readonly record struct BrokerEndpoint(int BrokerId, string Host, int Port, string? Rack);

/// <summary>Where clients are told to reach brokers: where each says of itself; the only one there is under the address that the client
/// dialled, unless it says otherwise. Thread safe.</summary>
internal sealed class BrokerEndpoints(KafkaGatewayOptions options, IClusterMetadata metadata)
{
    /// <summary>The brokers that clients can reach, by number.</summary>
    public IEnumerable<BrokerEndpoint> All(IConnection client)
    {
        foreach (var broker in metadata.Image.Brokers.Values)
        {
            if (Of(broker, client) is { } endpoint)
                yield return endpoint;
        }
    }

    /// <summary>Where a client reaches a broker; null where it does not.</summary>
    public BrokerEndpoint? Find(int broker, IConnection client) =>
        metadata.Image.Brokers.TryGetValue(broker, out var found) ? Of(found, client) : null;

    private BrokerEndpoint? Of(ImageBroker broker, IConnection client)
    {
        var registration = broker.Registration;
        var isSelf = registration.BrokerId == options.BrokerId;
        // The others can have told about themselves only what they registered.
        var said = isSelf && options.Advertised is not null ? options.Advertised : registration.Kafka;
        if (isSelf && (said is null || (metadata.Image.Brokers.Count == 1 && options.Advertised is null)))
            return new BrokerEndpoint(registration.BrokerId, client.LocalEndPoint.Address.ToString(), client.LocalEndPoint.Port,
                registration.Rack);
        return broker.IsAlive && said is not null && KafkaAddress.TryParse(said, out var host, out var port)
            ? new BrokerEndpoint(registration.BrokerId, host, port, registration.Rack)
            : null;
    }
}
