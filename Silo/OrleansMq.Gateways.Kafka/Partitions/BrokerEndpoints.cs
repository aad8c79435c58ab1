using OrleansMq.Clusters;
using OrleansMq.Gateways.Kafka.Requests;

namespace OrleansMq.Gateways.Kafka.Partitions;

/// <summary>The endpoint where clients reach a broker.</summary>
internal readonly record struct BrokerEndpoint(int BrokerId, string Host, int Port, string? Rack);

/// <summary>The endpoints that clients are sent to: those of the listener that they are connected to. Each broker's registration decides
/// for it. A broker alone in its cluster is reached where the client dialled, unless it advertises another address. Thread safe.</summary>
/// <param name="options">The gateway's options.</param>
/// <param name="self">This broker's number.</param>
/// <param name="metadata">The cluster's brokers.</param>
internal sealed class BrokerEndpoints(KafkaGatewayOptions options, int self, IClusterMetadata metadata)
{
    private readonly Dictionary<string, string?> _advertised = options.AllListeners
        .ToDictionary(static listener => listener.Name, static listener => listener.Advertised, StringComparer.OrdinalIgnoreCase);

    /// <summary>The brokers that clients can reach, by number.</summary>
    public IEnumerable<BrokerEndpoint> All(IConnection client)
    {
        foreach (var broker in metadata.Image.Brokers.Values)
        {
            if (Of(broker, client) is { } endpoint)
                yield return endpoint;
        }
    }

    /// <summary>Whether this broker answers a request that clients send to every broker, to merge the answers: of the brokers that clients
    /// reach, the one with the lowest id. So all is listed once, including what a broker without a listener coordinates.</summary>
    public bool AnswersForAll(IConnection client) =>
        All(client).Select(static endpoint => endpoint.BrokerId).DefaultIfEmpty(self).Min() == self;

    /// <summary>Returns the endpoint of a broker; null where clients cannot reach it.</summary>
    public BrokerEndpoint? Find(int broker, IConnection client) =>
        metadata.Image.Brokers.TryGetValue(broker, out var found) ? Of(found, client) : null;

    private BrokerEndpoint? Of(ImageBroker broker, IConnection client)
    {
        var registration = broker.Registration;
        var isSelf = registration.BrokerId == self;
        // Other brokers are known by their registration alone.
        var advertised = isSelf ? _advertised.GetValueOrDefault(client.Listener) : null;
        var said = advertised ?? registration.KafkaAt(client.Listener);
        if (isSelf && (said is null || (metadata.Image.Brokers.Count == 1 && advertised is null)))
            return new BrokerEndpoint(registration.BrokerId, client.LocalEndPoint.Address.ToString(), client.LocalEndPoint.Port,
                registration.Rack);
        return broker.IsAlive && said is not null && KafkaAddress.TryParse(said, out var host, out var port)
            ? new BrokerEndpoint(registration.BrokerId, host, port, registration.Rack)
            : null;
    }
}
